"""Keep one upstream per configured provider, across reloads."""

from collections.abc import Callable
from typing import Final, assert_never

from router.adapters.upstreams.http_upstream import HttpUpstream
from router.adapters.upstreams.litellm_bridge import LitellmBridge
from router.adapters.upstreams.litellm_library import LitellmLibrary
from router.adapters.upstreams.scripted import ScriptedUpstream
from router.domain.catalog import Provider, ProviderKind, Snapshot
from router.domain.ids import ProviderId
from router.ports.clock import Clock
from router.ports.transport import Transport
from router.ports.upstream import Upstream

RETIRED_MAX: Final = 64
"""Providers that a reload removed are still found by calls that started before it: so many of them."""


class UpstreamRegistry:
    """The `Upstreams` port. An unchanged provider keeps its upstream, and so its connections."""

    def __init__(self, *, clock: Clock, transport_to: Callable[[Provider], Transport], litellm: LitellmLibrary) -> None:
        self._clock = clock
        self._litellm = litellm
        self._transport_to = transport_to
        self._providers: dict[ProviderId, Provider] = {}
        self._upstreams: dict[ProviderId, Upstream] = {}
        self._retired: dict[ProviderId, Upstream] = {}

    def find(self, provider: ProviderId) -> Upstream:
        return self._upstreams.get(provider) or self._retired[provider]

    def find_aside(self, provider: ProviderId) -> HttpUpstream | None:
        """The `Asides` port: of those in force, for what a retired one stores nobody answers any more."""
        upstream = self._upstreams.get(provider)
        return upstream if isinstance(upstream, HttpUpstream) else None

    async def apply(self, snapshot: Snapshot) -> None:
        """Follow a reload. New upstreams are built first: ValueError or OSError then changes nothing."""
        built = {
            id_: self._build(provider)
            for id_, provider in snapshot.providers.items()
            if self._providers.get(id_) != provider
        }
        gone = [id_ for id_ in self._upstreams if id_ in built or id_ not in snapshot.providers]
        replaced = {id_: self._upstreams.pop(id_) for id_ in gone}
        self._upstreams |= built
        self._providers = dict(snapshot.providers)
        for id_, upstream in replaced.items():
            if id_ not in built:
                self._retire(id_, upstream)
            await upstream.close()

    async def close(self) -> None:
        for upstream in self._upstreams.values():
            await upstream.close()

    def _retire(self, id_: ProviderId, upstream: Upstream) -> None:
        self._retired.pop(id_, None)
        self._retired[id_] = upstream
        if len(self._retired) > RETIRED_MAX:
            del self._retired[next(iter(self._retired))]

    def _build(self, provider: Provider) -> Upstream:
        match provider.kind:
            case ProviderKind.OPENAI_COMPATIBLE | ProviderKind.ANTHROPIC:
                return HttpUpstream(provider, self._transport_to(provider), self._clock)
            case ProviderKind.SCRIPTED:
                return ScriptedUpstream(provider)
            case ProviderKind.LITELLM:
                return LitellmBridge(provider, library=self._litellm, connect=self._transport_to, clock=self._clock)
            case never:
                assert_never(never)
