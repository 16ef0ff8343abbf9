"""What is gRPC's own: deadlines, cancelling, sizes, details, a slow reader, metadata, health, how it stops.

What a call comes to whatever its wire is in test_parity.py.
"""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from checkrein.v1.chat_service_pb2 import CreateChatCompletionRequest, StreamChatCompletionRequest
from checkrein.v1.common_pb2 import CallContext
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.support import fake_upstream as fake
from tests.support.certificate import make_certificate
from tests.support.fake_upstream import FakeUpstream, Gap, Reply, Request
from tests.support.grpc_calls import chats
from tests.support.process import served
from tests.support.running import KEY, chat, config_for, running_router
from tests.support.stage import Stage
from tests.support.waiting import pause, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MIB = 1 << 20
LATE_S = 1.0
"""How much later than it should something may be seen on a busy machine."""
CONNECTIONS_COST = 4 * MIB
"""What eight more connections and calls take beside what is under way on them."""
NEVER = asyncio.Event()
AUTH = (("authorization", f"Bearer {KEY}"),)
WHOLE = CreateChatCompletionRequest(chat_json=json.dumps(chat()).encode())
STREAM = StreamChatCompletionRequest(chat_json=json.dumps(chat()).encode())


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    return {}


# --- deadlines and cancelling ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "unary"])
async def test_a_deadline_ends_the_call_and_the_provider_hears_of_it(stage: Stage, *, streamed: bool) -> None:
    """T26a: 300 ms against a provider that says nothing; its connection is closed, and the row says why."""
    stage.upstream.script(fake.silence(NEVER))
    loop = asyncio.get_running_loop()
    async with chats(stage.router.grpc_port) as caller:
        began = loop.time()
        told = await (caller.stream if streamed else caller.create)(chat(), timeout_s=0.3)
        took_s = loop.time() - began
    asked = await stage.upstream.received(1)
    await asyncio.wait_for(asked.closed.wait(), LATE_S)
    await stage.router.idle()
    (row,) = stage.rows()

    assert "DEADLINE_EXCEEDED" == told.code
    assert 0.25 <= took_s <= 0.3 + LATE_S
    assert asked.closed_at is not None
    assert asked.closed_at - began <= 0.5 + LATE_S
    assert ("failed", "timeout") == (row["outcome"], row["fault"])


async def test_a_deadline_in_the_middle_of_a_stream_ends_it(stage: Stage) -> None:
    """T26a: the chunks that came have come, and there is no summary."""
    stage.upstream.script(lambda request: fake.event_stream(fake.chunk(request, {"content": "w0"}), NEVER))
    async with chats(stage.router.grpc_port) as caller:
        told = await caller.stream(chat(), timeout_s=0.3)
    await asyncio.wait_for((await stage.upstream.received(1)).closed.wait(), LATE_S)
    await stage.router.idle()
    (row,) = stage.rows()

    assert ("DEADLINE_EXCEEDED", 1, None) == (told.code, len(told.bodies), told.usage)
    assert ("interrupted", "timeout") == (row["outcome"], row["fault"])


async def test_no_deadline_is_no_instant_failure(stage: Stage) -> None:
    """T26a: then the router's own timeouts hold."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stage.router.grpc_port}") as channel:
        create = channel.unary_unary("/checkrein.v1.ChatService/CreateChatCompletion")
        reply = await create(WHOLE.SerializeToString(), metadata=AUTH)

    assert reply


@pytest.mark.parametrize("begun", [False, True], ids=["before the first chunk", "in the stream"])
async def test_a_caller_that_cancels_frees_the_provider_at_once(stage: Stage, *, begun: bool) -> None:
    steps = lambda request: [fake.chunk(request, {"content": "w0"})] if begun else []  # noqa: E731
    stage.upstream.script(lambda request: fake.event_stream(*steps(request), NEVER))
    async with chats(stage.router.grpc_port) as caller:
        call = caller.stub.StreamChatCompletion(STREAM, metadata=AUTH)
        asked = await stage.upstream.received(1)
        if begun:
            assert "served" == (await call.read()).WhichOneof("event")
        call.cancel()
        await asyncio.wait_for(asked.closed.wait(), LATE_S)
    await stage.router.idle()
    (row,) = stage.rows()

    assert ("client_cancelled", "client_closed") == (row["outcome"], row["fault"])


class _Raising:
    """Upstreams that raise what nobody foresaw, one thing after the other."""

    def __init__(self) -> None:
        self._count = 0
        self.kinds = (ZeroDivisionError, asyncio.CancelledError, ConnectionResetError)

    def find(self, _provider: object) -> "_Raising":
        return self

    async def open(self, _request: object) -> object:
        self._count += 1
        raise self.kinds[self._count % len(self.kinds)]

    async def close(self) -> None:
        pass


async def test_whatever_a_handler_raises_its_caller_has_a_status(stage: Stage) -> None:
    """T26b: 1,000 of 1,000, cancellations that are nobody's included, and the router serves on."""
    means = stage.router.lifecycle._pipeline.means
    real, means.upstreams = means.upstreams, _Raising()  # type: ignore[assignment]  # it breaks what it can
    codes: Counter[str] = Counter()
    async with chats(stage.router.grpc_port) as caller:
        try:
            for _ in range(100):
                makes = [(caller.create if each % 2 else caller.stream)(chat()) for each in range(10)]
                codes.update([told.code for told in await asyncio.wait_for(asyncio.gather(*makes), 10)])
        finally:
            means.upstreams = real
        after = await caller.create(chat())

    assert 1_000 == sum(codes.values())
    assert {"INTERNAL", "CANCELLED"} == set(codes)
    assert "OK" == after.code


# --- sizes -----------------------------------------------------------------------------------------------------------


async def test_large_messages_pass_and_larger_ones_are_told_the_limit(stage: Stage) -> None:
    """T26c: 20 MB are served, 33 MiB are not, and the connection is as good as before."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 20_000_000}}
    large = chat(messages=[{"role": "user", "content": [image]}])
    limits = ("grpc.max_send_message_length", 64 * MIB), ("grpc.max_receive_message_length", 64 * MIB)
    async with chats(stage.router.grpc_port, KEY, *limits) as caller:
        served_ = await caller.create(large, typed=True)
        too_large = await caller.create(b"x" * (33 * MIB))
        again = await caller.create(chat())

    assert ("OK", "OK") == (served_.code, again.code)
    assert len(stage.upstream.requests[0].body) > 20_000_000
    assert "RESOURCE_EXHAUSTED" == too_large.code
    assert str(32 * MIB) in too_large.message
    assert 2 == len(stage.upstream.requests)


@pytest.mark.parametrize("characters", [1_000_000, 2_000])
async def test_a_long_error_of_the_provider_is_cut_to_what_trailers_take(stage: Stage, characters: int) -> None:
    """T26d: 1 MB of text, and so much that it is read, in characters that a trailer says in nine."""
    stage.upstream.script(fake.error(400, "€" * characters))
    async with chats(stage.router.grpc_port) as caller:
        told = await caller.create(chat())
    details = told.trailers["grpc-status-details-bin"]

    assert ("INVALID_ARGUMENT", "UPSTREAM_REJECTED", "400") == (
        told.code, told.info["reason"], told.info["http_status"],
    )  # fmt: skip
    assert told.message.startswith("€" * 100) or characters > 100_000
    assert len(quote(told.message)) <= 1024
    assert len(quote(told.message)) + len(details) * 4 // 3 + 200 <= 4096


async def test_bytes_that_are_no_message_are_told_so(stage: Stage) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stage.router.grpc_port}") as channel:
        create = channel.unary_unary("/checkrein.v1.ChatService/CreateChatCompletion")
        with pytest.raises(grpc.aio.AioRpcError) as told:
            await create(b"\xff\xff\xff", metadata=AUTH)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await create(b"\xff\xff\xff")

    assert grpc.StatusCode.INVALID_ARGUMENT is told.value.code()
    assert grpc.StatusCode.UNAUTHENTICATED is unknown.value.code(), "a stranger is told nothing else"


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_the_first_chunk_is_alone_and_those_that_are_there_share_a_message(stage: Stage) -> None:
    stage.upstream.script(
        lambda request: fake.event_stream(
            fake.chunk(request, {"content": "w0"}) + fake.chunk(request, {"content": " w1"}),
            Gap(0.02),
            b"".join(fake.chunk(request, {"content": fake.word(index)}) for index in range(2, 40)),
            *fake.ending(request, 40),
        )
    )
    async with chats(stage.router.grpc_port) as caller:
        told = await caller.stream(chat())

    assert "OK" == told.code
    assert 1 == told.messages[0]
    assert 41 == sum(told.messages)
    assert len(told.messages) <= 6


async def test_a_slow_reader_holds_up_its_provider_and_costs_no_memory(tmp_path: Path) -> None:
    """T26e: 8 readers that take one message; the provider's writes stall, and somebody else is served meanwhile."""
    async with FakeUpstream(handler=_flood) as upstream:
        (tmp_path / "checkrein.yaml").write_text(json.dumps(config_for(upstream)))
        async with served(tmp_path) as router, AsyncExitStack() as readers:
            stub = (await readers.enter_async_context(chats(router.grpc_port))).stub
            assert "served" == (await stub.StreamChatCompletion(STREAM, metadata=AUTH).read()).WhichOneof("event")
            before = _rss(router.process.pid)
            calls = []
            for _ in range(8):
                window = ("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1)
                caller = await readers.enter_async_context(chats(router.grpc_port, KEY, *window))
                call = caller.stub.StreamChatCompletion(STREAM, metadata=AUTH)
                await call.read()
                calls.append(call)
            sent = await _stalled(upstream)
            grown = _rss(router.process.pid) - before
            upstream.handler = fake.completion
            async with chats(router.grpc_port) as other:
                told = await other.create(chat())
            for call in calls:
                call.cancel()

    assert "OK" == told.code
    assert sent < 9 * 16 * MIB, "it stalled"
    assert grown <= 8 * 2 * MIB + CONNECTIONS_COST


def _flood(request: Request) -> Reply:
    event = fake.chunk(request, {"content": "x" * 1_000})
    return fake.event_stream(*[event] * 64_000, *fake.ending(request, 1))


async def _stalled(upstream: FakeUpstream) -> int:
    """Wait until it sends no more, and return how much it has sent."""
    sent = -1
    while sent != (now := sum(request.sent_bytes for request in upstream.requests)):
        sent = now
        await pause(0.3)
    return sent


def _rss(process_id: int) -> int:
    (line,) = [line for line in Path(f"/proc/{process_id}/status").read_text().splitlines() if "VmRSS" in line]
    return int(line.split()[1]) * 1024


async def test_a_reader_that_takes_nothing_for_too_long_is_cut(tmp_path: Path) -> None:
    async with FakeUpstream(handler=_flood) as upstream:
        config = config_for(upstream)
        server = config["server"]
        assert isinstance(server, dict)
        server["grpc"] = {"port": 0, "write_timeout": "300ms"}
        async with running_router(config, tmp_path) as router, chats(router.grpc_port) as caller:
            call = caller.stub.StreamChatCompletion(STREAM, metadata=AUTH)
            await call.read()
            asked = await upstream.received(1)
            await asyncio.wait_for(asked.closed.wait(), 20)
            await router.idle()
            (row,) = router.rows()
            call.cancel()

    assert "client_cancelled" == row["outcome"]


# --- what is said beside the body ------------------------------------------------------------------------------------


async def test_what_the_context_says_wins_over_the_metadata(stage: Stage) -> None:
    context = CallContext(agent="from the message", tags=["b", "a"])
    async with chats(stage.router.grpc_port) as caller:
        metadata = ("x-checkrein-agent", "from the metadata"), ("x-checkrein-workflow", "w1"), ("x-request-id", "mine")
        told = await caller.create(chat(), *metadata, context=context)
        refused = await caller.create(chat(), context=CallContext(tags=["a,b"]))
        empty = await caller.create(chat(), context=CallContext(agent=""))
    row = await stage.router.call(told.call_id)

    assert ("from the message", "w1", "b,a", "mine") == (
        row["agent"], row["workflow_id"], row["tags"], row["request_id"],
    )  # fmt: skip
    assert "mine" == told.trailers["x-request-id"]
    assert ("INVALID_ARGUMENT", "INVALID_ARGUMENT") == (refused.code, empty.code)
    violation = refused.details["BadRequest"]
    assert isinstance(violation, BadRequest)
    assert ["context.tags"] == [one.field for one in violation.field_violations]


async def test_health_is_told_of_each_service_and_overall(stage: Stage) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stage.router.grpc_port}") as channel:
        check = HealthStub(channel).Check
        said = [(await check(HealthCheckRequest(service=name))).status for name in ("", "checkrein.v1.ChatService")]
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await check(HealthCheckRequest(service="nobody"))

    assert [HealthCheckResponse.SERVING] * 2 == said
    assert grpc.StatusCode.NOT_FOUND is unknown.value.code()


async def test_only_who_shows_a_certificate_is_served_where_one_is_asked_for(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    tls = {"cert_file": str(made.certificate), "key_file": str(made.key), "client_ca_file": str(made.authority)}
    async with FakeUpstream() as upstream:
        config = config_for(upstream)
        server = config["server"]
        assert isinstance(server, dict)
        server["grpc"] = {"port": 0, "tls": tls}
        async with running_router(config, tmp_path) as router:
            said = []
            for shown in (None, made):
                credentials = grpc.ssl_channel_credentials(
                    made.authority.read_bytes(),
                    None if shown is None else shown.key.read_bytes(),
                    None if shown is None else shown.certificate.read_bytes(),
                )
                async with grpc.aio.secure_channel(f"localhost:{router.grpc_port}", credentials) as channel:
                    create = channel.unary_unary("/checkrein.v1.ChatService/CreateChatCompletion")
                    try:
                        await create(WHOLE.SerializeToString(), metadata=AUTH, timeout=10)
                        said.append("OK")
                    except grpc.aio.AioRpcError as exc:
                        said.append(exc.code().name)

    assert ["UNAVAILABLE", "OK"] == said


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_a_drain_says_so_first_and_completes_what_runs(tmp_path: Path) -> None:
    """NOT_SERVING while calls are taken still, then no new ones, and the running stream comes to its end."""
    go_on = asyncio.Event()

    def held(request: Request) -> Reply:
        return fake.event_stream(fake.chunk(request, {"content": "w0"}), go_on, *fake.ending(request, 1))

    async with FakeUpstream(handler=held) as upstream, AsyncExitStack() as stack:
        config = config_for(upstream, drain={"delay": "500ms", "grace": "10s"})
        router = await stack.enter_async_context(running_router(config, tmp_path))
        caller = await stack.enter_async_context(chats(router.grpc_port))
        watcher = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{router.grpc_port}"))
        watch = HealthStub(watcher).Watch(HealthCheckRequest())
        first = (await watch.read()).status
        running = asyncio.create_task(caller.stream(chat()))
        await upstream.received(1)
        router.running.stop()
        then = (await watch.read()).status
        watch.cancel()
        upstream.handler = fake.completion
        meanwhile = await caller.create(chat())
        await until(lambda: router.lifecycle._http.should_exit, within_s=5)
        go_on.set()
        told = await running

    assert (HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING) == (first, then)
    assert ("OK", "OK") == (meanwhile.code, told.code)


async def test_a_drain_out_of_patience_ends_streams_with_its_reason(tmp_path: Path) -> None:
    async with FakeUpstream(handler=lambda _: fake.silence(NEVER)) as upstream, AsyncExitStack() as stack:
        config = config_for(upstream, drain={"delay": "0s", "grace": "200ms"})
        router = await stack.enter_async_context(running_router(config, tmp_path))
        caller = await stack.enter_async_context(chats(router.grpc_port))
        running = asyncio.create_task(caller.stream(chat()))
        await upstream.received(1)
        router.running.stop()
        told = await running

    assert ("UNAVAILABLE", "OVERLOADED") == (told.code, told.info["reason"])
