"""Send one attempt to its deployment. Retries and fallbacks are further attempts of the same kind."""

import asyncio
from functools import partial

import msgspec

from router.domain.dialects.authors import Authors
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.form import LARGE_BYTES_MIN
from router.domain.dialects.metered import guess_of
from router.domain.dialects.meters import METERS
from router.domain.dialects.request import Request, upstream_body
from router.domain.dialects.translation import ReplyTranslator
from router.domain.dialects.translators import reply_translator
from router.domain.dialects.unit_meter import UnitMeter
from router.domain.ids import format_call_id
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.pipeline.attempt import Attempt
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from router.ports.upstream import Upstream, UpstreamRequest


async def dispatch(
    call: Call, attempt: Attempt, asked: Request, upstream: Upstream, authors: Authors | None = None
) -> Flight:
    """Open the upstream and return the flight of its reply. `asked`: what it reads. Raises `UpstreamFailed`.

    Of a call whose body is still coming it returns when its provider has all of it; what that raises, it raises.

    `authors` learns what the provider signs, where there is another one that could not read it.
    """
    headers: tuple[tuple[bytes, bytes], ...] = ((b"x-request-id", call.request_id.encode()),)
    if call.traceparent is not None:
        headers += ((b"traceparent", call.traceparent.encode("latin-1")),)
    dialect = asked.grammar.dialect
    if dialect is call.request.grammar.dialect:
        headers += call.passed_headers
    admission = call.admission
    limit = None if admission is None else admission.sized.write_max_tokens
    model = attempt.deployment.upstream_model
    if asked.form is None or len(asked.form.body) < LARGE_BYTES_MIN:
        body = upstream_body(asked, model, limit)
    else:
        body = await asyncio.to_thread(asked.form.named, model)
    upload = call.upload
    request = UpstreamRequest(
        deployment=attempt.deployment,
        dialect=dialect,
        route=asked.grammar.route,
        content_type=None if asked.form is None else asked.form.content_type,
        body=body,
        rest=None if upload is None else upload.pieces(),
        rest_bytes=0 if upload is None else upload.length,
        mode=call.request.mode,
        headers=headers,
        drop_params=call.plan is not None and call.plan.directives.drop_params,
        total_ns=None if call.timeout_ns is None else _time_left_ns(call, call.timeout_ns, attempt),
    )
    stream = await upstream.open(request)
    if upload is not None and upload.file_bytes is not None and asked.form is not None:
        form = msgspec.structs.replace(asked.form, files=(upload.file_bytes,))
        asked = msgspec.structs.replace(asked, form=form)
    tokens_max = None if admission is None else admission.sized.output_tokens_max
    meter = (
        UnitMeter(guess=guess_of(asked))
        if asked.grammar.metered
        else METERS[dialect](
            wants_usage=call.request.wants_usage,
            tokens_max=tokens_max,
            allow=None if admission is None or tokens_max is None else admission.allow,
        )
    )
    attempt.dropped = asked.dropped
    if dialect is not call.request.grammar.dialect:
        attempt.translator = _translator(call, attempt, dialect)
    if authors is not None and asked.grammar.turns and len(call.snapshot.providers) > 1:
        meter.learn = partial(authors.learn, provider=attempt.deployment.provider)
    attempt.flight = flight = Flight(stream, meter)
    return flight


def _translator(call: Call, attempt: Attempt, dialect: Dialect) -> ReplyTranslator | None:
    """Return what puts replies of the provider's dialect into the caller's."""
    return reply_translator(
        dialect,
        call.request,
        reply_id=format_call_id(call.id),
        created_s=call.arrived_ns // NS_PER_S,
        keeps_finish=call.snapshot.providers[attempt.deployment.provider].keeps_finish,
    )


def _time_left_ns(call: Call, timeout_ns: int, attempt: Attempt) -> int:
    """Return what the caller's own time leaves for this attempt, in whole milliseconds."""
    if attempt.number == 1:
        return timeout_ns
    return max(1, -(-(call.deadline - attempt.begun) // NS_PER_MS)) * NS_PER_MS
