"""The client for threads says what it is told, and ends every call it began, from whatever thread."""

import asyncio
import gc
import threading

import grpc
import pytest
from checkrein import CallContext, CheckreinError, Client, Stream
from checkrein.errors import BudgetExhausted, StreamInterrupted, Timeout, Unreachable
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import CreateChatCompletionRequest
from checkrein.v1.embeddings_pb2 import EmbeddingsRequest

from tests.support.grpc_router import BEGUN, DONE, SERVED, SUMMARY, FakeRouter, Refusal, listening, said, said_json

CHAT = ChatCompletionRequest(model="demo")


async def test_a_call_says_who_calls_and_answers_with_its_message(router: FakeRouter, target: str) -> None:
    def ask() -> str:
        with Client(target, api_key="sk-1", timeout=30, context=CallContext(agent="a")) as client:
            reply = client.chat(CHAT, context=CallContext(priority="batch"), metadata={"x-request-id": "r"})
        assert SERVED == reply.served
        return reply.completion.choices[0].message.content.text

    assert "Hello." == await asyncio.to_thread(ask)

    (asked,) = router.asked
    assert CreateChatCompletionRequest(chat=CHAT, context=CallContext(agent="a", priority="batch")) == asked.request
    assert ("Bearer sk-1", "r") == (asked.metadata["authorization"], asked.metadata["x-request-id"])
    assert asked.seconds_left is not None
    assert 20 < asked.seconds_left < 31  # gRPC rounds up what it sends


async def test_every_method_asks_its_service(router: FakeRouter, target: str) -> None:
    def ask() -> None:
        with Client(target) as client:
            assert b'{"said":  1}' == client.chat_json(b'{"model":"demo"}').completion_json
            assert [0.5] == list(client.embeddings(EmbeddingsRequest(text="t")).reply.data[0].floats.values)
            assert ["demo"] == [one.id for one in client.models().models]
            assert client.explain(CHAT).admitted
            assert client.explain(b'{"model":"demo"}').admitted
            assert "call_7" == client.call("call_7").call.id

    await asyncio.to_thread(ask)

    assert {None} == {asked.seconds_left for asked in router.asked}


async def test_a_stream_gives_every_message_and_keeps_what_its_ends_say(router: FakeRouter, target: str) -> None:
    router.messages = (BEGUN, said("Hel", "lo"), said_json(b'{"choices":[{"delta":{"content":"."}}]}'), DONE)

    def ask() -> None:
        with Client(target) as client:
            stream = client.stream(CHAT)
            assert list(router.messages) == list(stream)
            assert (SERVED, SUMMARY) == (stream.served, stream.summary)
            with client.stream_json(b"{}") as again:
                assert ["Hel", "lo", "."] == list(again.text())

    await asyncio.to_thread(ask)


async def test_what_fails_is_its_exception(router: FakeRouter, target: str) -> None:
    router.messages = (BEGUN, said("Hel"))
    texts: list[str] = []

    def ask() -> None:
        with Client(target) as client:
            router.refusal = Refusal(
                status=grpc.StatusCode.RESOURCE_EXHAUSTED, message="No more.", reason="BUDGET_EXHAUSTED"
            )
            with pytest.raises(BudgetExhausted, match=r"No more\."):
                client.chat(CHAT)
            router.refusal = Refusal(
                status=grpc.StatusCode.UNAVAILABLE, message="It broke off.", reason="UPSTREAM_STREAM_INTERRUPTED"
            )
            with client.stream(CHAT) as stream:
                with pytest.raises(StreamInterrupted):
                    texts.extend(stream.text())
                with pytest.raises(StreamInterrupted):
                    next(stream)
            assert stream.summary is None

    await asyncio.to_thread(ask)

    assert ["Hel"] == texts


async def test_a_stream_left_early_is_cancelled_at_the_router(router: FakeRouter, target: str) -> None:
    router.messages, router.silent = (BEGUN, said("Hel")), True

    def ask() -> None:
        with client.stream(CHAT) as stream:
            assert "Hel" == next(stream.text())
        with pytest.raises(CheckreinError, match="closed meanwhile"):
            next(stream)

    with Client(target) as client:
        await asyncio.to_thread(ask)
        await router.ended.wait()


async def test_what_is_forgotten_is_ended_and_complained_about(router: FakeRouter, target: str) -> None:
    router.messages, router.silent = (BEGUN, said("Hel")), True

    def ask() -> None:
        held: list[Stream] = [client.stream(CHAT)]
        next(held[0])
        with pytest.warns(ResourceWarning, match="stream"):
            forget(held)

    with Client(target) as client:
        await asyncio.to_thread(ask)
        await router.ended.wait()
    clients = [Client(target)]
    with pytest.warns(ResourceWarning, match="client"):
        forget(clients)


def forget(held: list[Stream] | list[Client]) -> None:
    held.clear()
    gc.collect()


async def test_a_stream_can_be_closed_from_another_thread(router: FakeRouter, target: str) -> None:
    router.messages, router.silent = (BEGUN,), True
    said_so: list[CheckreinError] = []

    def read() -> None:
        with pytest.raises(CheckreinError, match="closed meanwhile") as raised:
            list(stream)
        said_so.append(raised.value)

    with Client(target) as client:
        stream = client.stream(CHAT)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(read))
            await router.came.wait()
            stream.close()

    assert [grpc.StatusCode.CANCELLED] == [error.status for error in said_so]


async def test_closing_the_client_breaks_off_what_other_threads_ask(router: FakeRouter, target: str) -> None:
    router.silent = True
    said_so: list[CheckreinError] = []

    def ask() -> None:
        with pytest.raises(CheckreinError) as raised:
            client.chat(CHAT)
        said_so.append(raised.value)

    client = Client(target)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(ask))
        await router.came.wait()
        client.close()

    assert [grpc.StatusCode.CANCELLED] == [error.status for error in said_so]
    await router.ended.wait()


async def test_a_deadline_is_the_calls_own_before_the_clients(router: FakeRouter, target: str) -> None:
    router.silent = True

    def ask() -> None:
        with Client(target, timeout=60) as client:
            with pytest.raises(Timeout):
                client.chat(CHAT, timeout=0.05)
            with pytest.raises(Timeout):
                list(client.stream(CHAT, timeout=0.05))

    await asyncio.to_thread(ask)


async def test_a_router_that_is_not_there_is_unreachable() -> None:
    async with listening(FakeRouter()) as port:
        pass
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(Unreachable):
        await asyncio.to_thread(client.models)


async def test_no_thread_is_left_when_no_stream_is_open(target: str) -> None:
    def ask() -> set[threading.Thread]:
        before = set(threading.enumerate())
        with Client(target) as client:
            client.chat(CHAT)
            assert set() == set(threading.enumerate()) - before
            list(client.stream(CHAT))
        return set(threading.enumerate()) - before

    left = await asyncio.to_thread(ask)
    for thread in left:
        thread.join(timeout=5)

    assert [] == [thread.name for thread in left if thread.is_alive()]
