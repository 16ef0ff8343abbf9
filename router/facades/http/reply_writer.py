"""Write a reply to an HTTP caller: which headers go out, and how a stream of events becomes SSE."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from router.domain.faults import Fault, Refusal
from router.domain.ids import DeploymentId, format_call_id
from router.domain.money import format_usd
from router.domain.settlement import Substituted
from router.domain.stream import Event, EventKind
from router.facades.http.errors import Headers, error_headers
from router.facades.http.outlet import Outlet
from router.facades.http.voice import Voice
from router.pipeline.announce import SAID_CHARACTERS_MAX, limit_headers, notices_of, substitution_of, visible
from router.pipeline.call import Call

_DROPPED: Final = b"x-checkrein-dropped-params"
_FORWARDED_PREFIXES: Final = (b"openai-", b"x-ratelimit-", b"retry-after", b"anthropic-ratelimit-", _DROPPED)
"""The provider's headers that callers know what to do with, and our adapters' own; all others stay here."""

_JSON: Final = (b"content-type", b"application/json")
_SSE: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store"),
    (b"x-accel-buffering", b"no"),
)

Pairs = Iterable[tuple[bytes, bytes]]


class ReplyWriter:
    """Write one call's reply. Whatever goes wrong, `fail` still knows what can be said to the caller."""

    __slots__ = ("_call", "_in_bytes", "_outlet", "_started", "_voice", "ended")

    def __init__(self, outlet: Outlet, call: Call, voice: Voice) -> None:
        self._outlet = outlet
        self._call = call
        self._voice = voice
        self._started = False
        self._in_bytes = False
        """The reply is of a kind in which nothing can be said of what went wrong."""
        self.ended = False

    def unary(self, body: bytes, upstream_headers: Pairs) -> None:
        self._started = self.ended = True
        self._outlet.whole(200, [_JSON, *_call_headers(self._call, self._voice, upstream_headers)], body)

    def begin_stream(self, upstream_headers: Pairs) -> None:
        self._started = True
        self._outlet.begin(200, [*_SSE, *_call_headers(self._call, self._voice, upstream_headers)])

    def as_it_comes(self, batch: Sequence[Event], upstream_headers: Pairs) -> None:
        """Begin a reply that is what its provider says: whole, or events, or bytes."""
        if batch[-1].kind is EventKind.COMPLETE:
            self.unary(batch[-1].raw, upstream_headers)
            return
        said = dict(upstream_headers).get(b"content-type", b"")[:SAID_CHARACTERS_MAX]
        kind = (b"content-type", said or b"application/octet-stream")
        self._in_bytes = any(event.kind is EventKind.BYTES for event in batch)
        if self._in_bytes:
            self._started = True
            self._outlet.begin(200, [kind, *_call_headers(self._call, self._voice, upstream_headers)])
        else:
            self.begin_stream(upstream_headers)
        self.take(batch)

    def take(self, batch: Sequence[Event]) -> bool:
        """Write a batch; tell whether more may follow at once: neither is it the last, nor is the reader behind.

        A good end is what its dialect has for one, a broken one a single error event and nothing after it; among bytes
        it is that the connection ends before they do.
        """
        last = batch[-1].kind
        if last is EventKind.CHUNK or last is EventKind.COMMENT or last is EventKind.BYTES:
            return self._outlet.more(batch[0].raw if len(batch) == 1 else b"".join([event.raw for event in batch]))
        self.ended = True
        parts = [event.raw for event in batch]
        if last is EventKind.END:
            parts.append(self._voice.done)
        elif self._in_bytes:
            self._outlet.more(b"".join(parts))
            self._outlet.cut()
            return False
        else:
            assert self._call.refusal is not None, "a broken reply says why"
            parts.append(self._voice.error_event(self._call.refusal, self._call.request_id))
        self._outlet.end(b"".join(parts))
        return False

    def fail(self, refusal: Refusal) -> None:
        """Say what went wrong in the way that is still open: a status, an error event, or nothing more."""
        if self.ended:
            return
        self.ended = True
        if self._started and self._in_bytes:
            self._outlet.cut()
        elif self._started:
            self._outlet.end(self._voice.error_event(refusal, self._call.request_id))
        else:
            more = ((b"x-checkrein-call", format_call_id(self._call.id).encode()), *limit_headers(self._call))
            write_refusal(self._outlet, self._voice, refusal, self._call.request_id, *more)


def write_refusal(outlet: Outlet, voice: Voice, refusal: Refusal, request_id: str, *more: tuple[bytes, bytes]) -> None:
    """Answer with a refusal, whole."""
    body = voice.error(refusal, request_id)
    headers = [*error_headers(refusal), *_id_headers(voice, request_id), *more]
    if refusal.fault is Fault.METHOD_NOT_ALLOWED:
        headers.append((b"allow", b"POST"))
    outlet.whole(refusal.status, headers, body)


def _id_headers(voice: Voice, request_id: str) -> Headers:
    encoded = request_id.encode()
    own = (b"x-request-id", encoded)
    return [own] if voice.request_id_header is None else [own, (voice.request_id_header, encoded)]


def _call_headers(call: Call, voice: Voice, upstream_headers: Pairs) -> Headers:
    """Say what serves, after how many attempts, and the cost where it is already known."""
    attempt = call.attempts[-1]
    deployment = attempt.deployment
    headers: Headers = [
        *_id_headers(voice, call.request_id),
        (b"x-checkrein-call", format_call_id(call.id).encode()),
        (b"x-checkrein-attempts", b"%d" % len(call.attempts)),
        *_served_headers(deployment.id, deployment.upstream_model),
    ]
    if call.settlement is not None and call.settlement.cost_nano_usd is not None:
        headers.append((b"x-checkrein-cost-usd", format_usd(call.settlement.cost_nano_usd).encode()))
    own = limit_headers(call)
    headers += own
    for field in upstream_headers:
        if field[0].startswith(_FORWARDED_PREFIXES) and not (own and field[0].startswith(b"x-ratelimit-")):
            headers.append(field)
    other = substitution_of(call)
    if other is not None:
        headers += _substituted_header(other)
    if attempt.dropped:
        headers.append((_DROPPED, ",".join([visible(name) for name in attempt.dropped]).encode()))
    notices = notices_of(call)
    if notices:
        headers.append((b"x-checkrein-notice", "; ".join(notices).encode()))
    return headers


@lru_cache(maxsize=1024)
def _served_headers(deployment: DeploymentId, upstream_model: str) -> tuple[tuple[bytes, bytes], ...]:
    """Name what served; made once a deployment, and free of anything that would end a header line."""
    named = (b"x-checkrein-deployment", deployment), (b"x-checkrein-model", upstream_model)
    return tuple((name, "".join(filter(str.isprintable, value)).encode()) for name, value in named)


@lru_cache(maxsize=1024)
def _substituted_header(other: Substituted) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-checkrein-substituted", other.text.encode()),)
