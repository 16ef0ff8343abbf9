"""The asyncio client says what it is told, ends every call it began, and cancels no task but its own calls."""

import asyncio
import gc
import math
from pathlib import Path

import grpc
import pytest
from checkrein import AsyncClient, AsyncStream, CallContext, CheckreinError, Tls
from checkrein.errors import BudgetExhausted, RateLimited, StreamInterrupted, Timeout, Unreachable
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import CreateChatCompletionRequest, StreamChatCompletionResponse
from checkrein.v1.embeddings_pb2 import EmbeddingsRequest

from tests.support.certificate import make_certificate
from tests.support.grpc_router import BEGUN, DONE, SERVED, SUMMARY, FakeRouter, Refusal, listening, said, said_json

CHAT = ChatCompletionRequest(model="demo")
BROKE = Refusal(
    status=grpc.StatusCode.UNAVAILABLE,
    message="It broke off.",
    reason="UPSTREAM_STREAM_INTERRUPTED",
    metadata={"http_status": "502", "call_id": "call_1", "request_id": "req_1"},
)


async def collect(stream: AsyncStream, into: list[str]) -> None:
    async for text in stream.text():
        into.append(text)  # noqa: PERF401 - what came is kept when the stream breaks off


def forget(held: list[AsyncStream] | list[AsyncClient]) -> None:
    held.clear()
    gc.collect()


async def test_a_call_says_who_calls_and_answers_with_its_message(router: FakeRouter, target: str) -> None:
    async with AsyncClient(target, api_key="sk-1", timeout=30, context=CallContext(agent="a", tags=["x"])) as client:
        reply = await client.chat(
            CHAT, context=CallContext(workflow_id="w", tags=["y"]), metadata={"x-request-id": "r"}
        )

    (asked,) = router.asked
    assert "Hello." == reply.completion.choices[0].message.content.text
    assert SERVED == reply.served
    assert CreateChatCompletionRequest(chat=CHAT, context=CallContext(agent="a", workflow_id="w", tags=["x", "y"])) == (
        asked.request
    )
    assert ("Bearer sk-1", "r") == (asked.metadata["authorization"], asked.metadata["x-request-id"])
    assert str(asked.metadata["user-agent"]).startswith("checkrein-client/")
    assert asked.seconds_left is not None
    assert 20 < asked.seconds_left < 31  # gRPC rounds up what it sends


async def test_every_method_asks_its_service(router: FakeRouter, target: str) -> None:
    async with AsyncClient(target) as client:
        assert b'{"said":  1}' == (await client.chat_json(b'{"model":"demo"}')).completion_json
        assert [0.5] == list((await client.embeddings(EmbeddingsRequest(text="t"))).reply.data[0].floats.values)
        assert ["demo"] == [one.id for one in (await client.models()).models]
        assert (await client.explain(CHAT)).admitted
        assert (await client.explain(b'{"model":"demo"}')).admitted
        assert "call_7" == (await client.call("call_7")).call.id

    assert b'{"model":"demo"}' == router.asked[4].request.chat_json  # type: ignore[attr-defined]
    assert {None} == {asked.seconds_left for asked in router.asked}
    assert not any("authorization" in asked.metadata for asked in router.asked)


async def test_a_stream_gives_every_message_and_keeps_what_its_ends_say(router: FakeRouter, target: str) -> None:
    newer = StreamChatCompletionResponse()
    router.messages = (BEGUN, said("Hel", "lo"), newer, said_json(b'{"choices":[]}'), DONE)

    async with AsyncClient(target) as client:
        stream = client.stream(CHAT)
        messages = [message async for message in stream]

    assert list(router.messages) == messages
    assert SERVED == stream.served
    assert SUMMARY == stream.summary


async def test_the_text_is_that_of_the_first_choice(router: FakeRouter, target: str) -> None:
    router.messages = (
        BEGUN,
        said("Hel"),
        said("other", choice=1),
        said_json(b'{"choices":[{"delta":{"content":"lo"}}]}'),
    )

    async with AsyncClient(target) as client, client.stream_json(b"{}") as stream:
        assert ["Hel", "lo"] == [text async for text in stream.text()]

    assert b"{}" == router.asked[0].request.chat_json  # type: ignore[attr-defined]


async def test_a_stream_that_breaks_off_says_what_came_and_then_its_fault(router: FakeRouter, target: str) -> None:
    router.messages = (BEGUN, said("Hel"))
    router.refusal = BROKE
    texts: list[str] = []

    async with AsyncClient(target) as client:
        stream = client.stream(CHAT)
        with pytest.raises(StreamInterrupted) as raised:
            await collect(stream, texts)
        with pytest.raises(CheckreinError, match="CANCELLED"):
            await anext(stream)

    assert ["Hel"] == texts
    assert stream.summary is None
    assert (502, "call_1", "req_1") == (raised.value.http_status, raised.value.call_id, raised.value.request_id)


async def test_a_refusal_is_its_exception(router: FakeRouter, target: str) -> None:
    exhausted = Refusal(
        status=grpc.StatusCode.RESOURCE_EXHAUSTED,
        message="No more.",
        reason="BUDGET_EXHAUSTED",
        metadata={"limit": "b"},
    )
    limited = Refusal(status=grpc.StatusCode.RESOURCE_EXHAUSTED, message="Slow.", reason="RATE_LIMITED", retry_ms=1500)

    async with AsyncClient(target) as client:
        router.refusal = exhausted
        with pytest.raises(BudgetExhausted, match=r"BUDGET_EXHAUSTED: No more\.") as raised:
            await client.chat(CHAT)
        assert {"limit": "b"} == raised.value.details
        router.refusal = limited
        with pytest.raises(RateLimited) as slow:
            await client.models()
        assert 1.5 == slow.value.retry_after


async def test_a_stream_left_early_is_cancelled_at_the_router(router: FakeRouter, target: str) -> None:
    router.messages, router.silent = (BEGUN, said("Hel")), True

    async with AsyncClient(target) as client:
        async with client.stream(CHAT) as stream:
            async for _ in stream.text():
                break
        await router.ended.wait()
        with pytest.raises(CheckreinError, match="closed meanwhile"):
            await anext(stream)


async def test_a_forgotten_stream_is_cancelled_and_complained_about(router: FakeRouter, target: str) -> None:
    router.messages, router.silent = (BEGUN, said("Hel")), True

    async with AsyncClient(target) as client:
        held = [client.stream(CHAT)]
        await anext(held[0])
        with pytest.warns(ResourceWarning, match="stream"):
            forget(held)
        await router.ended.wait()


async def test_a_forgotten_client_is_complained_about(target: str) -> None:
    held = [AsyncClient(target)]

    with pytest.warns(ResourceWarning, match="client"):
        forget(held)


async def test_a_stream_that_is_closed_elsewhere_tells_its_reader_and_cancels_no_task(
    router: FakeRouter, target: str
) -> None:
    router.messages, router.silent = (BEGUN,), True
    said_so: list[CheckreinError] = []

    async def read(stream: AsyncStream) -> None:
        try:
            await collect(stream, [])
        except CheckreinError as error:
            said_so.append(error)

    async with AsyncClient(target) as client:
        stream = client.stream(CHAT)
        async with asyncio.TaskGroup() as group:
            group.create_task(read(stream))
            await router.came.wait()
            await stream.close()

    assert [grpc.StatusCode.CANCELLED] == [error.status for error in said_so]


async def test_a_call_whose_client_is_closed_is_told_so_and_its_task_goes_on(router: FakeRouter, target: str) -> None:
    router.silent = True
    said_so: list[CheckreinError] = []

    async def ask(client: AsyncClient) -> None:
        try:
            await client.chat(CHAT)
        except CheckreinError as error:
            said_so.append(error)

    client = AsyncClient(target)
    async with asyncio.TaskGroup() as group:
        group.create_task(ask(client))
        await router.came.wait()
        await client.close()

    assert [grpc.StatusCode.CANCELLED] == [error.status for error in said_so]
    await router.ended.wait()


async def test_a_cancelled_task_leaves_the_router_and_stays_cancelled(router: FakeRouter, target: str) -> None:
    router.silent = True
    async with AsyncClient(target) as client, asyncio.TaskGroup() as group:
        task = group.create_task(client.chat(CHAT))
        await router.came.wait()
        task.cancel()
        await router.ended.wait()

    assert task.cancelled()


async def test_a_stream_whose_reader_was_cancelled_does_not_look_as_if_it_had_ended_well(
    router: FakeRouter, target: str
) -> None:
    router.messages, router.silent = (), True
    async with AsyncClient(target) as client:
        stream = client.stream(CHAT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(stream)
        await router.ended.wait()
        with pytest.raises(CheckreinError, match="closed meanwhile"):
            await anext(stream)


async def test_a_deadline_is_the_calls_own_before_the_clients(router: FakeRouter, target: str) -> None:
    router.silent = True
    async with AsyncClient(target, timeout=60) as client:
        with pytest.raises(Timeout) as raised:
            await client.chat(CHAT, timeout=0.05)
        with pytest.raises(Timeout):
            await collect(client.stream(CHAT, timeout=0.05), [])
        router.silent = False
        await client.models(timeout=math.inf)

    assert ("", None) == (raised.value.reason, raised.value.http_status)
    assert router.asked[-1].seconds_left is None


async def test_a_router_that_is_not_there_is_unreachable() -> None:
    async with listening(FakeRouter()) as port:
        pass
    async with AsyncClient(f"127.0.0.1:{port}") as client:
        with pytest.raises(Unreachable):
            await client.models()


async def test_tls_is_spoken_where_it_is_asked_for(router: FakeRouter, tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    served = grpc.ssl_server_credentials([(made.key.read_bytes(), made.certificate.read_bytes())])
    async with listening(router, served) as port:
        async with AsyncClient(f"localhost:{port}", tls=Tls(roots=made.authority.read_bytes())) as client:
            assert ["demo"] == [one.id for one in (await client.models()).models]
        async with AsyncClient(f"localhost:{port}", tls=True) as client:
            with pytest.raises(Unreachable):
                await client.models()


def test_a_client_is_made_in_the_loop_that_it_is_used_in() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        AsyncClient("127.0.0.1:1")
