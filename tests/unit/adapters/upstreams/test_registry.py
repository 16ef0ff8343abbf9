"""What a reload does to the upstreams."""

from dataclasses import replace

import pytest

from router.adapters.upstreams.http_upstream import HttpUpstream
from router.adapters.upstreams.litellm_bridge import LitellmBridge
from router.adapters.upstreams.litellm_library import Litellm, LitellmLibrary
from router.adapters.upstreams.registry import RETIRED_MAX, UpstreamRegistry
from router.adapters.upstreams.scripted import ScriptedUpstream
from router.domain.catalog import Credential, Provider, ProviderKind, Snapshot
from router.domain.ids import ProviderId
from router.domain.secret import Secret
from router.ports.transport import HttpReply, HttpRequest
from tests.support.fakes import FakeClock, snapshot

TIMEOUTS = snapshot().providers[ProviderId("up")].timeouts


class CountingTransport:
    def __init__(self, provider: Provider) -> None:
        if provider.base_url == "bad":
            raise ValueError("bad base_url")
        self.provider = provider
        self.closed = 0

    async def send(self, request: HttpRequest) -> HttpReply:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed += 1


def never() -> Litellm:
    raise AssertionError("nothing is asked here")


class Stage:
    def __init__(self) -> None:
        self.transports: list[CountingTransport] = []
        self.registry = UpstreamRegistry(clock=FakeClock(), transport_to=self.connect, litellm=LitellmLibrary(never))

    def connect(self, provider: Provider) -> CountingTransport:
        self.transports.append(CountingTransport(provider))
        return self.transports[-1]

    async def apply(self, *providers: Provider) -> None:
        await self.registry.apply(with_providers(*providers))


def with_providers(*providers: Provider) -> Snapshot:
    return replace(snapshot(), providers={provider.id: provider for provider in providers})


def openai(name: str, **members: object) -> Provider:
    provider = Provider(
        id=ProviderId(name),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url="http://host/v1",
        credentials=(Credential(key=Secret("a")),),
        timeouts=TIMEOUTS,
    )
    return replace(provider, **members)  # type: ignore[arg-type]  # a test's own members


A, B = ProviderId("a"), ProviderId("b")


async def test_each_kind_has_its_upstream() -> None:
    stage = Stage()
    await stage.apply(openai("a"), openai("b", kind=ProviderKind.SCRIPTED), openai("c", kind=ProviderKind.LITELLM))

    assert isinstance(stage.registry.find(A), HttpUpstream)
    assert isinstance(stage.registry.find(B), ScriptedUpstream)
    assert isinstance(stage.registry.find(ProviderId("c")), LitellmBridge)


async def test_an_unchanged_provider_keeps_its_connections() -> None:
    stage = Stage()
    await stage.apply(openai("a"))
    before = stage.registry.find(A)
    await stage.apply(openai("a"), openai("b"))

    assert before is stage.registry.find(A)
    assert [0, 0] == [transport.closed for transport in stage.transports]


@pytest.mark.parametrize("change", [{"base_url": "http://other/v1"}, {"credentials": (Credential(key=Secret("b")),)}])
async def test_a_changed_provider_is_replaced_and_the_old_one_closed(change: dict[str, object]) -> None:
    stage = Stage()
    await stage.apply(openai("a"))
    before = stage.registry.find(A)
    await stage.apply(openai("a", **change))

    assert before is not stage.registry.find(A)
    assert [1, 0] == [transport.closed for transport in stage.transports]


async def test_a_removed_provider_is_closed_and_still_found_by_calls_that_started_before() -> None:
    stage = Stage()
    await stage.apply(openai("a"), openai("b"))
    before = stage.registry.find(B)
    await stage.apply(openai("a"))

    assert before is stage.registry.find(B)
    assert [0, 1] == [transport.closed for transport in stage.transports]


async def test_removed_providers_are_remembered_up_to_a_bound() -> None:
    stage = Stage()
    await stage.apply(*[openai(f"p{number}") for number in range(RETIRED_MAX + 1)])
    await stage.apply()

    stage.registry.find(ProviderId("p1"))
    with pytest.raises(KeyError):
        stage.registry.find(ProviderId("p0"))


async def test_a_reload_that_cannot_be_built_changes_nothing() -> None:
    stage = Stage()
    await stage.apply(openai("a"))
    before = stage.registry.find(A)

    with pytest.raises(ValueError, match="bad base_url"):
        await stage.apply(openai("a", base_url="http://other/v1"), openai("b", base_url="bad"))

    assert before is stage.registry.find(A)
    assert 0 == stage.transports[0].closed


async def test_close_closes_all() -> None:
    stage = Stage()
    await stage.apply(openai("a"), openai("b"))
    await stage.registry.close()

    assert [1, 1] == [transport.closed for transport in stage.transports]


async def test_only_who_is_in_force_and_has_routes_for_it_is_asked_beside_inference() -> None:
    stage = Stage()
    scripted = replace(openai("b"), kind=ProviderKind.SCRIPTED)
    await stage.apply(openai("a"), scripted)
    known = stage.registry.find_aside(ProviderId("a"))
    await stage.apply(scripted)

    assert isinstance(known, HttpUpstream)
    assert [None, None] == [stage.registry.find_aside(ProviderId(name)) for name in "ab"]
