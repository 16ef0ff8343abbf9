"""Guard what a call over gRPC does of ours, as test_counted_work.py guards it over HTTP: Python calls, decodes, tasks.

What grpcio does around it is not counted. The bounds are what was counted when they were set, and a little more.
"""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import NamedTuple, Never, cast

import grpc
import pytest
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
)
from google.protobuf.message import Message

from router.domain.principal import Principal
from router.facades.grpc.asking import Rpc
from router.facades.grpc.border import Border
from router.facades.grpc.chat import chat_service
from router.facades.grpc.encode import encoded
from router.facades.grpc.inbound import known_of, pairs_of, read_inbound
from tests.support.fakes import SECOND, chunk, principal, usage_chunk
from tests.support.waiting import turns
from tests.unit.test_counted_work import CHUNKED, GOVERNED, KEY, UNARY, WHOLE, Router, _part, counting, router_on

METADATA = (
    ("user-agent", "grpc-python/1.80.0"),
    ("authorization", f"Bearer {KEY}"),
    ("x-custom", "\udcff"),
    ("x-custom-bin", b"\x00"),
    ("x-checkrein-agent", "planner"),
)


class Wire:
    """A call of a client, as grpcio hands it over. A task of it takes each message."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.trailers: tuple[tuple[str, str | bytes], ...] = ()

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return METADATA

    def peer(self) -> str:
        return "ipv4:127.0.0.1:5"

    def time_remaining(self) -> float:
        return 30.0

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        self.trailers = trailing_metadata

    async def read(self) -> object:
        raise AssertionError("one message is all")

    async def write(self, message: bytes) -> None:
        self.written.append(message)
        await turns(1)

    async def abort(self, code: grpc.StatusCode, details: str, trailing_metadata: object) -> Never:
        raise AssertionError((code, details, trailing_metadata))


class Asked(NamedTuple):
    """What names a method."""

    method: str
    invocation_metadata: tuple[()] = ()


class Grpc:
    """`ChatService` over a router's pipeline, without a network."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._service = chat_service(Border(router.pipeline, write_timeout_ns=SECOND))

    def _begun(self, name: str, request: Message, wire: Rpc) -> "asyncio.Task[bytes | None]":
        method = self._service.service(cast(grpc.HandlerCallDetails, Asked(f"/checkrein.v1.ChatService/{name}")))
        assert method is not None
        serve = method.unary_stream or method.unary_unary
        assert serve is not None
        answer = cast("Awaitable[bytes | None]", serve(request.SerializeToString(), cast(grpc.ServicerContext, wire)))
        return asyncio.Task(answer)  # type: ignore[arg-type]  # a coroutine

    async def unary(self, request: CreateChatCompletionRequest) -> None:
        wire = Wire()
        task = self._begun("CreateChatCompletion", request, wire)
        await turns(3)
        await self._router.answers(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE))
        raw = await task
        assert raw is not None
        assert 380 == sum(
            getattr(CreateChatCompletionResponse.FromString(raw).usage, f"{each}_tokens")
            for each in ("input", "output")
        )
        assert "x-checkrein-call" in dict(wire.trailers)

    async def stream(self, request: StreamChatCompletionRequest, chunks: int) -> None:
        wire = Wire()
        task = self._begun("StreamChatCompletion", request, wire)
        await turns(3)
        await self._router.answers(CHUNKED)
        for _ in range(chunks):
            await self._router.answers(_part(chunk("word").raw))
        last = chunk("", finish="stop").raw + usage_chunk(7, chunks).raw + b"data: [DONE]\n\n"
        await self._router.answers(_part(last) + b"0\r\n\r\n")
        await task
        told = [StreamChatCompletionResponse.FromString(raw) for raw in wire.written]
        kinds = [one.WhichOneof("event") for one in told]
        assert ["served", *kinds[1:2] * (chunks + 1), "summary"] == kinds, "a message for each chunk that came alone"


def _typed() -> ChatCompletionRequest:
    typed = encoded(ChatCompletionRequest, UNARY)
    assert typed is not None
    return typed


JSON_WHOLE = CreateChatCompletionRequest(chat_json=UNARY)
TYPED_WHOLE = CreateChatCompletionRequest(chat=_typed())
JSON_STREAM = StreamChatCompletionRequest(chat_json=UNARY)
TYPED_STREAM = StreamChatCompletionRequest(chat=_typed())


@pytest.mark.parametrize(
    ("who", "request_", "most"),
    [
        pytest.param(principal("*"), JSON_WHOLE, 220, id="JSON"),
        pytest.param(principal("*"), TYPED_WHOLE, 240, id="typed"),
        pytest.param(GOVERNED, JSON_WHOLE, 268, id="JSON, under budgets and limits"),
    ],
)
async def test_a_unary_call_does_no_more_than_it_did(
    who: Principal, request_: CreateChatCompletionRequest, most: int, tmp_path: Path
) -> None:
    async with router_on(tmp_path, who) as router:
        client = Grpc(router)
        await client.unary(request_)  # fills caches
        async with counting() as work:
            await client.unary(request_)

    assert work.python_calls <= most, work.by_function.most_common(40)
    assert 0 == work.tasks


@pytest.mark.parametrize(
    ("request_", "most"), [pytest.param(JSON_STREAM, 32, id="JSON"), pytest.param(TYPED_STREAM, 46, id="typed")]
)
async def test_a_message_does_no_more_than_it_did(
    request_: StreamChatCompletionRequest, most: int, tmp_path: Path
) -> None:
    async with router_on(tmp_path) as router:
        client = Grpc(router)
        await client.stream(request_, 1)
        async with counting() as short:
            await client.stream(request_, 10)
        async with counting() as long:
            await client.stream(request_, 110)

    calls = (long.python_calls - short.python_calls) / 100
    assert calls <= most, long.by_function.most_common(40)
    assert 1 == (long.tasks - short.tasks) / 100, "it is sent in a task of its own, and the call sleeps on"


def test_metadata_of_others_are_passed_over_and_ours_are_read_as_from_all() -> None:
    assert [b"authorization", b"x-checkrein-agent"] == [name for name, _ in known_of(METADATA)]
    assert read_inbound(known_of(METADATA), None, None) == read_inbound(pairs_of(METADATA), None, None)
