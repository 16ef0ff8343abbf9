"""Ask a provider that speaks OpenAI's chat completions, and pass its bytes on."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from router import VERSION
from router.adapters.upstreams.error_body import ErrorReader, is_secret
from router.adapters.upstreams.openai_reply import OpenAiReply
from router.adapters.upstreams.watch import Watches, timeout_words
from router.domain.catalog import Credential, Provider
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S
from router.domain.stream import ReplyMode
from router.ports.clock import Clock
from router.ports.transport import HttpRequest, Transport, TransportFailed
from router.ports.upstream import UpstreamFailed, UpstreamRequest

_ACCEPT: Final = {ReplyMode.UNARY: "application/json", ReplyMode.STREAM: "text/event-stream"}


class OpenAiCompatible:
    """One provider behind `{base_url}/chat/completions`."""

    def __init__(self, provider: Provider, transport: Transport, clock: Clock) -> None:
        self._timeouts = provider.timeouts
        self._watches = Watches(provider.timeouts)
        self._transport = transport
        self._clock = clock
        url = urlsplit(provider.base_url)
        query = f"?{url.query}" if url.query else ""
        self._target = f"{url.path.rstrip('/')}/chat/completions{query}".encode("ascii")
        self._heads = {
            (mode, credential.name): _head(provider, credential, accept)
            for credential in provider.credentials
            for mode, accept in _ACCEPT.items()
        }
        self._first = provider.credentials[0].name
        self._errors = ErrorReader(provider.id, _secrets(provider))

    async def open(self, request: UpstreamRequest) -> OpenAiReply:
        """Connect, send and return at once. Raises `UpstreamFailed`."""
        started_s = asyncio.get_running_loop().time()
        total_ns = min(self._timeouts.total_ns, request.total_ns or self._timeouts.total_ns)
        # A call that began before a reload may name a credential that is gone: then the first one speaks for it.
        head = self._heads.get((request.mode, request.deployment.credential)) or self._heads[request.mode, self._first]
        if request.headers:
            head += b"".join([b"%b: %b\r\n" % pair for pair in request.headers])
        message = HttpRequest(target=self._target, head=head, body=request.body)
        try:
            if total_ns < self._timeouts.connect_ns:
                async with asyncio.timeout(total_ns / NS_PER_S):
                    reply = await self._transport.send(message)
            else:
                reply = await self._transport.send(message)
        except TransportFailed as exc:
            raise UpstreamFailed(self._errors.own(exc.kind, str(exc))) from exc
        except TimeoutError as exc:
            words = timeout_words(FailureKind.TOTAL_TIMEOUT, total_ns)
            raise UpstreamFailed(self._errors.own(FailureKind.CONNECT_TIMEOUT, words)) from exc
        return OpenAiReply(
            reply,
            mode=request.mode,
            started_s=started_s,
            watches=self._watches,
            total_ns=total_ns,
            errors=self._errors,
            clock=self._clock,
        )

    async def close(self) -> None:
        await self._transport.close()


def _head(provider: Provider, credential: Credential, accept: str) -> bytes:
    """Write the headers that never change. An operator's own header replaces ours of the same name."""
    url = urlsplit(provider.base_url)
    host = url.hostname or ""
    lines = {
        "host": (f"[{host}]" if ":" in host else host) + (f":{url.port}" if url.port else ""),
        "user-agent": f"checkrein/{VERSION}",
        "content-type": "application/json",
        "accept": accept,
        "accept-encoding": "identity",
    }
    if credential.key is not None:
        lines["authorization"] = f"Bearer {credential.key.reveal()}"
    lines |= {name.lower(): value for name, value in provider.network.headers}
    for name, value in lines.items():
        if not (name.isascii() and value.isprintable() and name.isprintable()):
            raise ValueError(f"header {name!r} of provider {provider.id!r} has characters that HTTP does not carry")
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")


def _secrets(provider: Provider) -> list[str]:
    own = [credential.key.reveal() for credential in provider.credentials if credential.key is not None]
    return own + [value for name, value in provider.network.headers if is_secret(name)]
