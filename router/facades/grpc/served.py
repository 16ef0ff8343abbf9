"""Say what served a call, what it used and what it cost, in the messages of `common.proto`."""

from typing import Final

from checkrein.v1.common_pb2 import Cost, Served, Usage

from router.domain.ids import format_call_id
from router.domain.settlement import AttemptRow, Settlement
from router.pipeline.announce import notices_of, substitution_of
from router.pipeline.call import Call
from router.ports.ledger import CallRecord

_DROPPED: Final = b"x-checkrein-dropped-params"
"""Of a provider's adapter that left some out itself."""
_DROPPED_MAX: Final = 32
_TRUNCATED: Final = "budget_truncated"


def settled(call: Call) -> Settlement:
    """Return how a call ended that was read to its end."""
    assert call.settlement is not None, "read to its end"
    return call.settlement


def usage_of(of: Settlement | AttemptRow) -> Usage:
    used = of.usage
    return Usage(
        input_tokens=used.input,
        cached_input_tokens=used.cached_input,
        cache_write_tokens=used.cache_write,
        output_tokens=used.output,
        reasoning_tokens=used.reasoning,
        estimated=used.estimated,
        clamped=used.clamped,
    )


def cost_of(of: Settlement | AttemptRow | CallRecord) -> Cost:
    return Cost(total_nano_usd=of.cost_nano_usd, price_version=of.price_version)


def served_of(call: Call, upstream_headers: tuple[tuple[bytes, bytes], ...]) -> Served:
    """Say who serves a call of which a first event is known."""
    attempt = call.attempts[-1]
    deployment = attempt.deployment
    other = substitution_of(call)
    dropped = [*attempt.dropped]
    for name, value in upstream_headers:
        if name == _DROPPED:
            dropped += value.decode("latin-1").split(",")
    notices = notices_of(call)
    if call.admission is not None and call.admission.truncated:
        notices.append(_TRUNCATED)
    return Served(
        call_id=format_call_id(call.id),
        request_id=call.request_id,
        deployment=deployment.id,
        upstream_model=deployment.upstream_model,
        attempts=len(call.attempts),
        substituted=None if other is None else other.text,
        dropped_params=dropped[:_DROPPED_MAX],
        notices=notices,
    )
