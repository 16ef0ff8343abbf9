"""The scripted provider's pace, errors and cuts. What it shares with all upstreams is in the contract suite."""

import asyncio
import json

import pytest

from router.adapters.upstreams.scripted import BATCH_STEPS_MAX, ScriptedReply, ScriptedUpstream
from router.domain.catalog import Deployment, Provider, ProviderKind, Script, Timeouts
from router.domain.dispatch.failure import FailureKind
from router.domain.ids import DeploymentId, ProviderId
from router.domain.stream import Event, EventKind, ReplyMode
from router.ports.upstream import UpstreamFailed, UpstreamRequest

SECOND = 1_000_000_000
MS = 1_000_000
TIMEOUTS = Timeouts(connect_ns=SECOND, stream_first_event_ns=SECOND, stream_idle_ns=SECOND, total_ns=5 * SECOND)
BODY = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()


def upstream(script: Script) -> ScriptedUpstream:
    return ScriptedUpstream(
        Provider(id=ProviderId("demo"), kind=ProviderKind.SCRIPTED, timeouts=TIMEOUTS, script=script)
    )


async def open_reply(
    provider: ScriptedUpstream, mode: ReplyMode = ReplyMode.STREAM, body: bytes = BODY
) -> ScriptedReply:
    deployment = Deployment(id=DeploymentId("d"), provider=ProviderId("demo"), upstream_model="m")
    return await provider.open(UpstreamRequest(deployment=deployment, body=body, mode=mode))


async def drain(reply: ScriptedReply) -> list[Event]:
    events: list[Event] = []
    while not events or events[-1].kind not in (EventKind.END, EventKind.COMPLETE):
        events += await reply.read()
    return events


async def outcome(provider: ScriptedUpstream) -> int:
    """The status of one call."""
    try:
        await drain(await open_reply(provider))
    except UpstreamFailed as exc:
        return exc.failure.status or 0
    return 200


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.0, [200] * 8),
        (1.0, [503] * 8),
        (0.25, [200, 200, 200, 503] * 2),
        (0.5, [200, 503] * 4),
        (0.75, [200, 503, 503, 503] * 2),
    ],
)
async def test_errors_are_spread_evenly(rate: float, expected: list[int]) -> None:
    provider = upstream(Script(error_rate=rate, error_status=503))

    assert expected == [await outcome(provider) for _ in range(8)]


async def test_a_body_that_is_no_request_is_the_callers_fault() -> None:
    with pytest.raises(UpstreamFailed) as caught:
        await drain(await open_reply(upstream(Script()), body=b"{}"))

    assert (400, "invalid_request_error") == (caught.value.failure.status, caught.value.failure.type)


@pytest.mark.parametrize("cut", [0, 1, 20])
async def test_a_cut_stream_ends_after_its_tokens_without_a_finish(cut: int) -> None:
    events = await drain(await open_reply(upstream(Script(reply_tokens=32, cut_after_tokens=cut))))

    assert cut + 2 == len(events)  # the opening chunk and END are no tokens
    assert all(b'"finish_reason":null' in event.raw for event in events[:-1])


async def test_a_cut_unary_reply_is_a_failure() -> None:
    with pytest.raises(UpstreamFailed) as caught:
        await drain(await open_reply(upstream(Script(cut_after_tokens=1)), ReplyMode.UNARY))

    assert FailureKind.CUT is caught.value.failure.kind


async def test_tokens_come_at_the_pace_of_the_script() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    reply = await open_reply(upstream(Script(first_token_ns=20 * MS, tokens_per_s=200.0, reply_tokens=5)))
    arrived: list[float] = []
    while len(arrived) < 6:  # the opening chunk and five tokens
        batch = await reply.read()
        arrived += [loop.time() - started] * len(batch)

    for at, due in zip(arrived, (0.020, 0.020, 0.025, 0.030, 0.035, 0.040), strict=False):
        assert at >= due - 0.001


async def test_a_unary_reply_takes_as_long_as_its_stream_would() -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    script = Script(first_token_ns=20 * MS, tokens_per_s=200.0, reply_tokens=5)
    await drain(await open_reply(upstream(script), ReplyMode.UNARY))

    assert loop.time() - started >= 0.039


async def test_a_long_reply_without_pace_lets_others_run() -> None:
    reply = await open_reply(upstream(Script(reply_tokens=BATCH_STEPS_MAX * 4)))
    turns = 0
    ended = False

    def count() -> None:
        nonlocal turns
        turns += 1
        if not ended:
            asyncio.get_running_loop().call_soon(count)

    asyncio.get_running_loop().call_soon(count)
    await drain(reply)
    ended = True

    assert turns >= 4
