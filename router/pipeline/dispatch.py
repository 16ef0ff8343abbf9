"""Send one attempt to its deployment. Retries and fallbacks are further attempts of the same kind."""

from router.domain.chat import for_another_provider, upstream_body
from router.domain.instants import NS_PER_MS
from router.domain.metering import Meter
from router.pipeline.attempt import Attempt
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from router.ports.upstream import Upstream, UpstreamRequest


async def dispatch(call: Call, attempt: Attempt, upstream: Upstream) -> Flight:
    """Open the upstream and return the flight of its reply. Raises `UpstreamFailed`."""
    headers: tuple[tuple[bytes, bytes], ...] = ((b"x-request-id", call.request_id.encode()),)
    if call.traceparent is not None:
        headers += ((b"traceparent", call.traceparent.encode("latin-1")),)
    plan, asked = call.plan, call.request
    if plan is not None and plan.home not in (None, attempt.deployment.provider):
        asked = for_another_provider(asked)
    request = UpstreamRequest(
        deployment=attempt.deployment,
        body=upstream_body(
            asked,
            attempt.deployment.upstream_model,
            None if call.admission is None else call.admission.sized.write_max_tokens,
            () if plan is None else plan.directives.consumed,
        ),
        mode=call.request.mode,
        headers=headers,
        total_ns=_time_left_ns(call, attempt),
    )
    stream = await upstream.open(request)
    meter = Meter(wants_usage=call.request.wants_usage)
    admission = call.admission
    if admission is not None and admission.sized.output_tokens_max is not None:
        meter = Meter(
            wants_usage=call.request.wants_usage,
            tokens_max=admission.sized.output_tokens_max,
            allow=admission.allow,
        )
    attempt.flight = flight = Flight(stream, meter)
    return flight


def _time_left_ns(call: Call, attempt: Attempt) -> int | None:
    """Return what the caller's own time leaves for this attempt, in whole milliseconds; None if it named none."""
    if call.timeout_ns is None or attempt.number == 1:
        return call.timeout_ns
    return max(1, -(-(call.deadline - attempt.begun) // NS_PER_MS)) * NS_PER_MS
