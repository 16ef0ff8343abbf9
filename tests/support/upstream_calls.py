"""Ask an upstream and read it to its end or its failure, for the tests of the `Upstream` port."""

import json
from collections.abc import Sequence

import pytest

from router.adapters.transport_httptools import transport_to
from router.adapters.upstreams.http_upstream import HttpUpstream
from router.domain.catalog import Credential, Deployment, Network, Provider, ProviderKind, Timeouts
from router.domain.dispatch.failure import Failure
from router.domain.ids import DeploymentId, ProviderId
from router.domain.secret import Secret
from router.domain.stream import Event, EventKind, ReplyMode
from router.ports.upstream import LiveStream, Upstream, UpstreamFailed, UpstreamRequest
from tests.support.fake_upstream import FakeUpstream
from tests.support.fakes import FakeClock
from tests.support.transport_calls import LOCAL

MS = 1_000_000
SECOND = 1_000 * MS
TIMEOUTS = Timeouts(
    connect_ns=5 * SECOND, stream_first_event_ns=10 * SECOND, stream_idle_ns=10 * SECOND, total_ns=20 * SECOND
)
DEPLOYMENT = Deployment(id=DeploymentId("fake/m"), provider=ProviderId("fake"), upstream_model="m")
API_KEY = "sk-proj-0123456789abcdef"


def ask(mode: ReplyMode, *, total_ns: int | None = None, **members: object) -> UpstreamRequest:
    stream = {"stream": True} if mode is ReplyMode.STREAM else {}
    chat = {"model": "m", "messages": [{"role": "user", "content": "hello there"}], **stream, **members}
    return UpstreamRequest(deployment=DEPLOYMENT, body=json.dumps(chat).encode(), mode=mode, total_ns=total_ns)


async def drain(live: LiveStream) -> list[Event]:
    """Read as the relay does: the first batch by `read`, what follows by `each`."""
    events = await live.read()

    def take(batch: list[Event]) -> bool:
        events.extend(batch)
        return not is_over(events)

    if not is_over(events):
        await live.each(take)
    return events


async def read_to_failure(live: LiveStream) -> tuple[list[Event], Failure]:
    """Return what a reply said before it failed."""
    events: list[Event] = []
    while True:
        try:
            batch = await live.read()
        except UpstreamFailed as exc:
            return events, exc.failure
        events += batch
        assert not is_over(events), "it ended well"


def is_over(events: Sequence[Event]) -> bool:
    return bool(events) and events[-1].kind in (EventKind.END, EventKind.COMPLETE)


async def failure_of(upstream: Upstream, request: UpstreamRequest) -> Failure:
    """Read a reply to its failure, which must stay the same however often it is asked for."""
    with pytest.raises(UpstreamFailed) as caught:
        await drain(await upstream.open(request))
    return caught.value.failure


def said(events: Sequence[Event]) -> list[tuple[EventKind, object]]:
    """Return what events say, without what differs from call to call: the reply's id and when it was made."""
    read = []
    for event in events:
        members = json.loads(event.raw.removeprefix(b"data: ")) if event.raw else {}
        read.append((event.kind, {name: value for name, value in members.items() if name not in ("id", "created")}))
    return read


def content(events: Sequence[Event]) -> str:
    chunks = [json.loads(event.raw[6:]) for event in events if event.kind is EventKind.CHUNK]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def reads_failure(live: LiveStream) -> Failure:
    with pytest.raises(UpstreamFailed) as caught:
        await live.read()
    return caught.value.failure


def over(fake: FakeUpstream, *, timeouts: Timeouts = TIMEOUTS, network: Network | None = None) -> HttpUpstream:
    provider = Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=fake.base_url,
        credentials=(Credential(key=Secret(API_KEY)),),
        timeouts=timeouts,
        network=network or Network(),
    )
    return HttpUpstream(provider, transport_to(provider, LOCAL), FakeClock())
