"""Count the input tokens of a request in Messages: by its provider where it counts, else by an estimate that says so.

Whatever keeps a provider from counting (it has no such route, it is busy, it is down) leaves the caller with an
estimate: agents ask before each turn, and stop where they get no number. What is wrong with the request is an error.
"""

from typing import Final, NamedTuple

import msgspec

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import MESSAGES, Dialect
from router.domain.dialects.request import Request, read_request, upstream_body
from router.domain.dialects.token_estimate import estimate_input
from router.domain.dispatch.failure import refusal_of, verdict_of
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.instants import NS_PER_S
from router.domain.stream import ReplyMode
from router.pipeline.aside import admitted
from router.pipeline.call import Call
from router.pipeline.open import Pipeline
from router.pipeline.wording import worded_for
from router.ports.aside import AsideRequest, Asides
from router.ports.upstream import UpstreamFailed

COUNT_NS_MAX: Final = 10 * NS_PER_S
"""For a provider to count; a caller that waits for a number is better off with an estimate then."""
_BELOW: Final = "count_tokens"
_NO_SUCH_ROUTE: Final = (404, 405)
_CALLERS: Final = frozenset((Fault.UPSTREAM_REJECTED, Fault.CONTEXT_LENGTH_EXCEEDED, Fault.CONTENT_FILTER))
"""Faults that are about the request; all others are about the provider."""


class Counted(NamedTuple):
    body: bytes
    """An object with `input_tokens`."""
    by: Deployment | None
    """Whose provider counted; None: it is an estimate."""


def read_counted(body: bytes) -> Request:
    """Read a request that is to be counted. Raises `RouterError`."""
    asked = read_request(MESSAGES, body)
    if isinstance(asked, Refusal):
        raise RouterError(asked)
    if asked.mode is ReplyMode.STREAM:
        raise refuse(Fault.INVALID_REQUEST, "What is counted is no stream. Leave `stream` out.", param="stream")
    return asked


async def count_tokens(call: Call, *, pipeline: Pipeline, asides: Asides) -> Counted:
    """Return how many input tokens a call would have. Nothing is held or put on record. Raises `RouterError`."""
    pipeline.prepare(call)
    plan = pipeline.planner.plan(call)
    if isinstance(plan, Refusal):
        raise RouterError(plan)
    with admitted(pipeline.gate, pipeline.clock, call.principal):
        for one in plan.candidates:
            if Dialect.MESSAGES in one.dialects:
                provider = call.snapshot.providers[one.provider]
                asked = worded_for(one, provider, call.request, plan, pipeline.planner.authors)
                assert isinstance(asked, Request), "only what is translated can be refused"
                body = await _counted_by(one, asked, call, asides)
                if body is not None:
                    return Counted(body, one)
                break
    return Counted(msgspec.json.encode({"input_tokens": estimate_input(call.request)}), None)


async def _counted_by(one: Deployment, asked: Request, call: Call, asides: Asides) -> bytes | None:
    """Return the provider's own answer; None: it cannot say. Raises `RouterError`."""
    aside = asides.find_aside(one.provider)
    if aside is None:
        return None
    request = AsideRequest(
        credential=one.credential,
        dialect=Dialect.MESSAGES,
        below=(_BELOW,),
        body=upstream_body(asked, one.upstream_model),
        headers=((b"x-request-id", call.request_id.encode()), *call.passed_headers),
        total_ns=min(COUNT_NS_MAX, call.timeout_ns or COUNT_NS_MAX),
    )
    try:
        return await aside.ask(request)
    except UpstreamFailed as exc:
        failure = exc.failure
        if verdict_of(failure).fault in _CALLERS and failure.status not in _NO_SUCH_ROUTE:
            raise RouterError(refusal_of(failure)) from exc
        return None
