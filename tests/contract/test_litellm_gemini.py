"""Gemini asked past `acompletion` beside Gemini asked through it: nobody outside may tell them apart."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from importlib import metadata
from random import Random

import msgspec
import pytest

from router.adapters.upstreams.litellm_bridge import LitellmBridge
from router.domain.dispatch.failure import Failure
from router.domain.stream import Event, EventKind, ReplyMode
from router.ports.upstream import UpstreamFailed, UpstreamRequest
from tests.support import gemini_cases as cases
from tests.support import provider_wires as wires
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.gemini_cases import Asked
from tests.support.litellm_calls import to_gemini, to_gemini_roundabout
from tests.support.upstream_calls import ask, is_over, said

pytestmark = pytest.mark.slow
_RANDOM = re.compile(r"(?<=\"call_)[0-9a-f]{28}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What litellm makes up anew: names of tool calls and of sounds."""
_NAMED = re.compile(r"(?<=cannot read) \(\w+\)")
"""A class of litellm's: here the one that fits, there the one that it was wrapped into."""
modes = pytest.mark.parametrize("mode", list(ReplyMode), ids=["whole", "streamed"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call as the provider and as the caller saw it."""

    requests: list[tuple[str, dict[str, str], object]]
    events: list[tuple[EventKind, object]]
    dropped: list[tuple[bytes, bytes]]
    failure: Failure | None


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(handler=wires.gemini) as upstream:
        yield upstream


async def see(fake: FakeUpstream, upstream: LitellmBridge, request: UpstreamRequest) -> Seen:
    before = len(fake.requests)
    events: list[Event] = []
    failure = None
    dropped: list[tuple[bytes, bytes]] = []
    try:
        live = await upstream.open(request)
        while not is_over(events):
            events += await live.read()
        dropped = [pair for pair in live.headers if pair[0].startswith(b"x-checkrein")]
    except UpstreamFailed as exc:
        failure = exc.failure
    await upstream.close()
    sent = fake.requests[before:]
    if failure is not None:
        failure = msgspec.structs.replace(failure, message=_NAMED.sub("", failure.message))
    return Seen(
        requests=[(one.target, {**one.headers, "content-length": ""}, one.json) for one in sent],
        events=[(kind, json.loads(_RANDOM.sub("", json.dumps(members)))) for kind, members in said(events)],
        dropped=dropped,
        failure=failure,
    )


def to_ask(asked: Asked, mode: ReplyMode) -> UpstreamRequest:
    request = ask(mode, **asked.members)
    deployment = replace(request.deployment, upstream_model=asked.model)
    return UpstreamRequest(deployment=deployment, body=request.body, mode=mode, drop_params=asked.drop)


@modes
@pytest.mark.parametrize("asked", cases.REQUESTS, ids=lambda asked: asked.name)
async def test_a_request_is_the_same_on_the_wire(fake: FakeUpstream, asked: Asked, mode: ReplyMode) -> None:
    params = asked.params or {}
    there = await see(fake, to_gemini_roundabout(fake, **params), to_ask(asked, mode))
    here = await see(fake, to_gemini(fake, **params), to_ask(asked, mode))

    assert there == here


async def test_what_may_be_cached_is_sent_as_it_is(fake: FakeUpstream) -> None:
    """Through `acompletion` such a call fails: litellm asks first, by GET, what Gemini has stored of it."""
    request = ask(ReplyMode.UNARY, messages=[{"role": "user", "content": [cases.LONG]}])
    seen = await see(fake, to_gemini(fake), request)

    assert seen.failure is None
    assert [{"role": "user", "parts": [{"text": cases.LONG["text"]}]}] == fake.requests[0].json["contents"]
    assert 1 == len(fake.requests)


@pytest.mark.parametrize("seed", range(12))
async def test_a_request_of_anything_in_any_order_is_the_same_on_the_wire(fake: FakeUpstream, seed: int) -> None:
    random = Random(seed)
    members: dict[str, object] = {}
    for asked in random.sample(cases.REQUESTS, 3):
        members |= asked.members
    order = random.sample(list(members.items()), len(members))
    asked = Asked(name="", members=dict(order), model=random.choice(cases.REQUESTS).model, drop=True)
    request = to_ask(asked, ReplyMode.UNARY)
    there = await see(fake, to_gemini_roundabout(fake), request)
    here = await see(fake, to_gemini(fake), request)

    assert there == here


@pytest.mark.parametrize("name", list(cases.ANSWERS))
async def test_a_reply_is_read_the_same(fake: FakeUpstream, name: str) -> None:
    await judge(fake, cases.whole(cases.ANSWERS[name]), ask(ReplyMode.UNARY))


@pytest.mark.parametrize("name", list(cases.STREAMS))
async def test_a_stream_is_read_the_same(fake: FakeUpstream, name: str) -> None:
    await judge(fake, cases.streamed(cases.STREAMS[name]), ask(ReplyMode.STREAM))


@pytest.mark.parametrize("tier", ["standard", "Flex"])
@pytest.mark.parametrize(
    "name", ["words", "words counted each", "an end with words", "pictures", "the usage alone at the end"]
)
async def test_a_tier_is_said_where_it_was(fake: FakeUpstream, name: str, tier: str) -> None:
    await judge(fake, cases.streamed(cases.STREAMS[name], tier), ask(ReplyMode.STREAM))


@pytest.mark.parametrize("seed", range(12))
async def test_a_stream_of_anything_is_read_the_same(fake: FakeUpstream, seed: int) -> None:
    random = Random(seed)
    streams = list(cases.STREAMS.values())
    events = [cases.endless(event) for _ in range(3) for event in random.choice(streams)] + [cases.END]
    await judge(fake, cases.streamed(events), ask(ReplyMode.STREAM))


@pytest.mark.parametrize("name", list(cases.AFTER_THE_END))
async def test_an_end_stays_whatever_comes_after_it(fake: FakeUpstream, name: str) -> None:
    """Through `acompletion` it is lost: its wrapper knows the last event only."""
    reply = cases.streamed(cases.AFTER_THE_END[name])
    fake.handler = lambda _request: reply
    seen = await see(fake, to_gemini(fake), ask(ReplyMode.STREAM))

    assert seen.failure is None
    assert '"finish_reason": "length"' in json.dumps([members for _, members in seen.events])
    assert EventKind.END is seen.events[-1][0]


@modes
async def test_who_offers_functions_is_told_of_one(fake: FakeUpstream, mode: ReplyMode) -> None:
    answer = cases.ANSWERS["a tool call"]
    reply = cases.streamed([answer]) if mode is ReplyMode.STREAM else cases.whole(answer)
    await judge(fake, reply, ask(mode, functions=[cases.LOOK["function"]]))


def test_the_release_is_the_one_that_all_this_was_seen_with() -> None:
    """What is called of litellm is not its interface: with another release, read what changed in it, and then this."""
    assert "1.106.2" == metadata.version("litellm")


async def judge(fake: FakeUpstream, reply: Reply, request: UpstreamRequest) -> None:
    fake.handler = lambda _request: reply
    there = await see(fake, to_gemini_roundabout(fake), request)
    here = await see(fake, to_gemini(fake), request)

    assert there == here
