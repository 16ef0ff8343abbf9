"""Ask a provider over HTTP in a dialect of ours that it speaks itself, and pass its bytes on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from router import VERSION
from router.adapters.upstreams.error_body import ErrorReader, is_secret
from router.adapters.upstreams.http_reply import ProviderReply, Shape, StoredAnswer
from router.adapters.upstreams.watch import Watches, timeout_words
from router.domain.catalog import Credential, Provider, ProviderKind
from router.domain.dialects.dialect import NAMED_EVENTS, Dialect
from router.domain.dialects.metered import METERED
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S
from router.domain.stream import ReplyMode
from router.ports.aside import AsideRequest
from router.ports.clock import Clock
from router.ports.transport import HttpReply, HttpRequest, Transport, TransportFailed
from router.ports.upstream import UpstreamFailed, UpstreamRequest

_JSON: Final = "application/json"
_ANYTHING: Final = "*/*"
_ACCEPT: Final = {ReplyMode.UNARY: _JSON, ReplyMode.STREAM: "text/event-stream"}


class _Manner(NamedTuple):
    """Where a kind of provider is asked in each dialect, and how it is told who asks."""

    paths: Mapping[Dialect, str]
    """After the provider's base URL."""
    routes: tuple[str, ...] = ()
    """Those that a request names itself, in dialects with several."""
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Sent where the call brings none of that name."""


_MANNERS: Final = {
    ProviderKind.OPENAI_COMPATIBLE: _Manner(
        {
            Dialect.CHAT: "/chat/completions",
            Dialect.COMPLETIONS: "/completions",
            Dialect.EMBEDDINGS: "/embeddings",
            Dialect.RESPONSES: "/responses",
            Dialect.MESSAGES: "/messages",
        },
        routes=tuple([str(grammar.route) for grammar in METERED]),
    ),
    ProviderKind.ANTHROPIC: _Manner(
        {Dialect.MESSAGES: "/messages"},
        key_header="x-api-key",
        key_prefix="",
        headers=((b"anthropic-version", b"2023-06-01"),),
    ),
}


class HttpUpstream:
    """One provider of kind `openai_compatible` or `anthropic`."""

    def __init__(self, provider: Provider, transport: Transport, clock: Clock) -> None:
        self._timeouts = provider.timeouts
        self._watches = Watches(provider.timeouts)
        self._transport = transport
        self._clock = clock
        url = urlsplit(provider.base_url)
        query = f"?{url.query}" if url.query else ""
        self._manner = _MANNERS[provider.kind]
        self._query = url.query
        self._paths = {dialect: f"{url.path.rstrip('/')}{path}" for dialect, path in self._manner.paths.items()}
        places = [*self._manner.paths.items(), *[(route, route) for route in self._manner.routes]]
        self._targets: Mapping[str, bytes] = {
            place: f"{url.path.rstrip('/')}{path}{query}".encode("ascii") for place, path in places
        }
        self._heads = {
            (mode, credential.name): _head(provider, self._manner, credential, accept, _JSON)
            for credential in provider.credentials
            for mode, accept in (*_ACCEPT.items(), (None, _ANYTHING))
        }
        self._form_heads = {
            credential.name: _head(provider, self._manner, credential, _ANYTHING, None)
            for credential in provider.credentials
        }
        self._first = provider.credentials[0].name
        self._errors = ErrorReader(provider.id, _secrets(provider))

    async def open(self, request: UpstreamRequest) -> ProviderReply:
        """Connect, send and return at once. Raises `UpstreamFailed`."""
        started_s = asyncio.get_running_loop().time()
        total_ns = min(self._timeouts.total_ns, request.total_ns or self._timeouts.total_ns)
        head = self._with(request.headers, self._head_of(request))
        rest = request.rest
        message = HttpRequest(
            target=self._targets[request.route or request.dialect],
            head=head,
            body=request.body if rest is None else _in_pieces(request.body, rest),
            length=None if rest is None else len(request.body) + request.rest_bytes,
        )
        reply = await self._send(message, total_ns)
        return ProviderReply(
            reply,
            mode=request.mode,
            named_events=request.dialect in NAMED_EVENTS,
            shape=None if request.route is None else _shape_of(request),
            started_s=started_s,
            watches=self._watches,
            total_ns=total_ns,
            errors=self._errors,
            clock=self._clock,
        )

    def _head_of(self, request: UpstreamRequest) -> bytes:
        # A call that began before a reload may name a credential that is gone: then the first one speaks for it.
        credential = request.deployment.credential
        if request.content_type is not None:
            head = self._form_heads.get(credential) or self._form_heads[self._first]
            return head + b"content-type: %b\r\n" % request.content_type
        mode = request.mode if request.route is None else None
        return self._heads.get((mode, credential)) or self._heads[mode, self._first]

    async def ask(self, request: AsideRequest) -> bytes:
        """Ask something beside inference, and return the whole answer. Raises `UpstreamFailed`.

        No other credential speaks for one that is gone: what one of them stores, another does not know.
        """
        head = self._heads.get((ReplyMode.UNARY, request.credential))
        if head is None:
            raise UpstreamFailed(self._errors.own(FailureKind.CONNECT, "is not asked with this credential any more"))
        started_s = asyncio.get_running_loop().time()
        total_ns = min(self._timeouts.total_ns, request.total_ns)
        query = "&".join(part for part in (self._query, urlencode(request.query)) if part)
        path = "/".join((self._paths[request.dialect], *[quote(piece, safe="") for piece in request.below]))
        message = HttpRequest(
            method=request.method.encode(),
            target=f"{path}{'?' if query else ''}{query}".encode("ascii"),
            head=self._with(request.headers, head),
            body=request.body,
        )
        reply = await self._send(message, total_ns)
        answer = StoredAnswer(
            reply,
            mode=ReplyMode.UNARY,
            started_s=started_s,
            watches=self._watches,
            total_ns=total_ns,
            errors=self._errors,
            clock=self._clock,
        )
        try:
            return (await answer.read())[-1].raw
        finally:
            answer.abort()  # nothing happens where it is whole

    async def close(self) -> None:
        await self._transport.close()

    def _with(self, headers: tuple[tuple[bytes, bytes], ...], head: bytes) -> bytes:
        for pair in headers:  # seldom more than one
            head += b"%b: %b\r\n" % pair
        for name, value in self._manner.headers:
            if name not in dict(headers):
                head += b"%b: %b\r\n" % (name, value)
        return head

    async def _send(self, message: HttpRequest, total_ns: int) -> HttpReply:
        """Raises `UpstreamFailed`."""
        kind = FailureKind.CONNECT_TIMEOUT if isinstance(message.body, bytes) else FailureKind.TOTAL_TIMEOUT
        try:
            if total_ns < self._timeouts.connect_ns or kind is FailureKind.TOTAL_TIMEOUT:
                async with asyncio.timeout(total_ns / NS_PER_S):
                    return await self._transport.send(message)
            return await self._transport.send(message)
        except TransportFailed as exc:
            raise UpstreamFailed(self._errors.own(exc.kind, str(exc))) from exc
        except TimeoutError as exc:
            words = timeout_words(FailureKind.TOTAL_TIMEOUT, total_ns)
            raise UpstreamFailed(self._errors.own(kind, words)) from exc


async def _in_pieces(begun: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield begun
    try:
        async for piece in rest:
            yield piece
    finally:
        if isinstance(rest, AsyncGenerator):
            await rest.aclose()


def _shape_of(request: UpstreamRequest) -> Shape:
    """Return what a reply may be in dialects with several routes."""
    return Shape.ANY if request.dialect is Dialect.AUDIO else Shape.JSON_OR_EVENTS


def _head(provider: Provider, manner: _Manner, credential: Credential, accept: str, content_type: str | None) -> bytes:
    """Write the headers that never change. An operator's own header replaces ours of the same name.

    `content_type`: None where each request has one of its own.
    """
    url = urlsplit(provider.base_url)
    host = url.hostname or ""
    lines = {
        "host": (f"[{host}]" if ":" in host else host) + (f":{url.port}" if url.port else ""),
        "user-agent": f"checkrein/{VERSION}",
        "content-type": content_type or "",
        "accept": accept,
        "accept-encoding": "identity",
    }
    if credential.key is not None:
        lines[manner.key_header] = manner.key_prefix + credential.key.reveal()
    lines |= {name.lower(): value for name, value in provider.network.headers}
    if content_type is None:
        del lines["content-type"]
    for name, value in lines.items():
        if not (name.isascii() and value.isprintable() and name.isprintable()):
            raise ValueError(f"header {name!r} of provider {provider.id!r} has characters that HTTP does not carry")
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")


def _secrets(provider: Provider) -> list[str]:
    own = [credential.key.reveal() for credential in provider.credentials if credential.key is not None]
    return own + [value for name, value in provider.network.headers if is_secret(name)]
