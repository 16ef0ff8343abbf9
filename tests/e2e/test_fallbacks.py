"""A provider that fails before its first token costs the caller nothing but time; one that fails later is not hidden.

Each provider bills for itself, and after each test ledger, attempts, account and invoices agree.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, Gap, Handler, Reply, Request, Silence, Step
from tests.support.pool import Pool, asks, at, free, pool, served_by, unsaid
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

TIMEOUTS = {"stream_first_event": "150ms", "stream_idle": "150ms", "total": "400ms"}
NEVER = Silence.NEVER_ENDS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """`small` runs at a, then at b; `gone` at a port where nobody listens, then at b."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed = {"base_url": f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"}
        models = [
            served_by("small", at("a"), at("b", tier=2)),
            served_by("gone", at("none"), at("b", tier=2)),
        ]
        members = {"a": {"timeouts": TIMEOUTS}, "none": closed}
        folder = tmp_path_factory.mktemp("router")
        async with pool(folder, "a", "b", "none", models=models, members=members) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def providers(running: Pool) -> AsyncIterator[Pool]:
    fresh = running.start_over()
    yield fresh
    await fresh.books()


# --- before the first token -------------------------------------------------------------------------------------------


class Fault(NamedTuple):
    streamed: Handler
    unary: Handler
    named: str
    """The fault of the attempt's row."""
    status: int | None = None


def role_then(*last: Step) -> Handler:
    return lambda request: fake.event_stream(fake.chunk(request, {"role": "assistant", "content": ""}), *last)


def headed(*steps: Step) -> Reply:
    """The head of a reply that is said to be longer than it gets."""
    return fake.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n", *steps)


def status(number: int, **more: str) -> Fault:
    handler = free(fake.error(number, "scripted", **more))
    return Fault(handler, handler, "upstream_rate_limited" if number == 429 else "upstream_error", number)


ERROR = {"error": {"message": "no capacity", "type": "server_error"}}
OK_WITH_ERROR = free(Reply(steps=(fake.sse(ERROR)[6:],)))
SSE_ERROR = free(fake.event_stream(fake.sse(ERROR)))
SILENT = unsaid(fake.silence(NEVER))
RESET = unsaid(fake.raw(Cut.RESET))
PART = b'{"choices":[{"message":{"role":"assistant"'

FAULTS = {
    "429": status(429, code="rate_limit_exceeded"),
    "500": status(500),
    "503": status(503),
    "529": status(529, type="overloaded_error"),
    "an error as JSON under 200": Fault(OK_WITH_ERROR, OK_WITH_ERROR, "upstream_error"),
    "an error as the first event": Fault(SSE_ERROR, unsaid(fake.event_stream(fake.sse(ERROR))), "upstream_error"),
    "an empty body": Fault(unsaid(fake.event_stream()), unsaid(Reply()), "upstream_error"),
    "a role and the end": Fault(unsaid(role_then()), unsaid(headed(PART, Cut.CLOSE)), "upstream_error"),
    "a reset before the head": Fault(RESET, RESET, "upstream_error"),
    "a reset after the head": Fault(
        unsaid(role_then(Gap(0.02), Cut.RESET)), unsaid(headed(PART, Gap(0.02), Cut.RESET)), "upstream_error"
    ),
    "a refused connection": Fault(SILENT, SILENT, "upstream_error"),
    "no first event in time": Fault(SILENT, SILENT, "timeout"),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_who_fails_before_its_first_token_is_stood_in_for(providers: Pool, fault: str, stream: bool) -> None:
    """T2a: 60 of 60 tokens under 200, of the fallback, which is asked once; headers and row tell it."""
    made, refused = FAULTS[fault], fault == "a refused connection"
    providers.script(a=made.streamed if stream else made.unary)
    reply = await providers.ask(asks(stream=stream, model="gone" if refused else "small"))
    row = await providers.router.call(reply.call_id)

    assert (200, "b/small", "2") == (
        reply.status,
        reply.headers["x-checkrein-deployment"],
        reply.headers["x-checkrein-attempts"],
    )
    assert fake.text(60) in (reply.text if stream else reply.body.decode())
    assert b'"error"' not in reply.body
    # A role, 60 tokens, a finish and the end, and nothing that the first provider began with.
    assert not stream or (63, "[DONE]") == (len(reply.events), reply.events[-1])
    assert ({"b": 1} if refused else {"a": 1, "b": 1}) == providers.asked
    assert ("completed", None, "b/small", 60) == (
        row["outcome"],
        row["fault"],
        row["served_deployment"],
        row["output_tokens"],
    )
    first, second = told(row)
    assert ("none/small" if refused else "a/small", made.named, made.status) == first
    assert ("b/small", None, None) == second


def told(row: dict[str, object]) -> list[tuple[object, object, object]]:
    attempts = row["attempts"]
    assert isinstance(attempts, list)
    return [(one["deployment"], one["fault"], one["upstream_status"]) for one in attempts]


async def test_a_provider_that_failed_is_let_go_before_the_fallback_has_answered(providers: Pool) -> None:
    """T2c: it reports an error under 200 and keeps its stream open; within 100 ms nobody listens to it any more."""
    providers.script(a=free(fake.event_stream(fake.sse(ERROR), NEVER)), b=SILENT)
    async with wire(providers.router.http_port) as caller:
        await caller.send(post(body=asks(stream=True)))
        other = await providers.upstreams["b"].received(1)
        asked = asyncio.get_running_loop().time()
        first = providers.upstreams["a"].requests[0]
        async with asyncio.timeout(5):
            await first.closed.wait()
    async with asyncio.timeout(5):
        await other.closed.wait()

    assert first.closed_at is not None
    assert first.closed_at - asked <= 0.1


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_when_all_fail_the_caller_gets_the_first_error_and_a_real_status(providers: Pool, stream: bool) -> None:
    """T2a: never 200, and never the last of our own ideas."""
    crash = free(fake.error(500, "it broke"))
    providers.script(a=crash, b=free(fake.error(429, "slow down")))
    reply = await providers.ask(asks(stream=stream))

    assert (502, "upstream_error", "it broke") == (reply.status, reply.error["code"], reply.error["message"])
    assert "false" == reply.headers["x-should-retry"]


# --- after 40 of 60 tokens --------------------------------------------------------------------------------------------


def after_forty(*last: Step) -> Handler:
    return unsaid(lambda request: fake.stream(request, 40, last=last))


def cut_inside_an_event(request: Request) -> Reply:
    return fake.stream(request, 40, last=[fake.chunk(request, {"content": " never"})[:-20], Cut.CLOSE])


LATER = {
    "cut": (after_forty(Cut.CLOSE), "upstream_stream_interrupted"),
    "reset": (after_forty(Gap(0.05), Cut.RESET), "upstream_stream_interrupted"),
    "cut inside an event": (unsaid(cut_inside_an_event), "upstream_stream_interrupted"),
    "silent": (after_forty(NEVER), "timeout"),
    "ended without a finish": (after_forty(), "upstream_stream_interrupted"),
    "done without a finish": (after_forty(b"data: [DONE]\n\n"), "upstream_stream_interrupted"),
    "an error event": (after_forty(fake.sse(ERROR)), "upstream_stream_interrupted"),
    "an error event of a rate limit": (
        after_forty(fake.sse({"error": {"message": "slow", "code": "rate_limit_exceeded"}})),
        "upstream_stream_interrupted",
    ),
}


@pytest.mark.parametrize("case", LATER)
async def test_who_fails_after_its_first_token_is_not_stood_in_for(providers: Pool, case: str) -> None:
    """T2b, T2c: the 40 tokens that came, one error event, no [DONE], no other attempt; the connection lives."""
    broken, code = LATER[case]
    providers.script(a=broken)
    async with wire(providers.router.http_port) as caller:
        reply = await caller.ask(asks(stream=True))
        asked = providers.asked
        providers.stage.forgive()
        providers.script(a=fake.answer)
        again = await caller.ask(asks(stream=True))
    row = await providers.router.call(reply.call_id)

    assert (200, True, fake.text(40), 42) == (reply.status, reply.complete, reply.text, len(reply.events))
    assert ("server_error", code) == (reply.error["type"], reply.error["code"])
    assert 1 == reply.body.count(b'"error"')
    assert b"[DONE]" not in reply.body
    assert b'"finish_reason":"' not in reply.body
    assert {"a": 1} == asked
    assert (200, fake.text(60)) == (again.status, again.text)
    assert ("interrupted", code, 40) == (row["outcome"], row["fault"], row["output_tokens"])
    assert 1 == len(told(row))
