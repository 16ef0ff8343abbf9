"""Ask a provider, and receive its reply as a stream of events."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

import msgspec

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import Failure
from router.domain.ids import ProviderId
from router.domain.stream import Event, ReplyMode


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: the body as the provider must receive it, byte for byte."""

    deployment: Deployment
    dialect: Dialect = Dialect.CHAT
    """In which `body` is written, and the reply is expected; one of the deployment's."""
    route: str | None = None
    """Where to ask, in a dialect that has several places for it; None: it has one."""
    content_type: bytes | None = None
    """Of a body that is no JSON."""
    body: bytes
    rest: AsyncIterator[bytes] | None = None
    """Follows `body`, piece by piece, and can be sent only once."""
    rest_bytes: int = 0
    mode: ReplyMode
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers of this call to pass on, already chosen (request id, traceparent). Lower case names."""
    drop_params: bool = False
    """The caller has what the provider cannot say left out, where the adapter is who finds that out."""
    total_ns: int | None = None
    """The caller's own limit for the whole attempt, when it is tighter than the provider's."""


class UpstreamFailed(Exception):
    """The attempt failed: by `open` before the request was sent, by `read` after."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class LiveStream(Protocol):
    """A reply that is on its way. Exactly one reader at a time.

    A reply to one that names a `route` is what its provider makes of it: COMPLETE, if it is JSON, or CHUNK events, or
    BYTES of any other kind; `headers` say which.
    `headers` are the upstream's, lower case, empty until the first batch. `read` waits for at least one event
    and returns all that have arrived, in order; the last batch ends with COMPLETE or END, after which `read`
    must not be called. An error status is a failure of the first `read`.
    A cancelled `read` loses nothing. `each(take)` does `while take(await read()): pass`, but may call `take` as the
    events arrive, without waking a task; what `take` raises, it raises. `nudge` makes a waiting `read` return an
    empty list (nobody waiting: nothing happens); it is how a relay gets to act while the upstream is silent. `abort`
    closes the upstream at once, may be called at any time and more than once, and makes a waiting `read` raise
    `UpstreamFailed` of kind ABORTED.
    """

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    async def read(self) -> list[Event]: ...

    async def each(self, take: Callable[[list[Event]], bool]) -> None: ...

    def nudge(self) -> None: ...

    def abort(self) -> None: ...


class Upstream(Protocol):
    """One configured provider."""

    async def open(self, request: UpstreamRequest) -> LiveStream:
        """Connect, send the request and return without waiting for an answer.

        Where there is a `rest` it returns when that is sent, or answered before; what `rest` raises, it raises.
        A cancelled `open` closes the connection. Raises `UpstreamFailed`.
        """
        ...

    async def close(self) -> None:
        """Release idle connections; running replies are the callers' to finish or abort."""
        ...


class Upstreams(Protocol):
    """All configured providers."""

    def find(self, provider: ProviderId) -> Upstream:
        """Return the upstream of a provider that the call's snapshot names; it outlives the snapshot's last call."""
        ...
