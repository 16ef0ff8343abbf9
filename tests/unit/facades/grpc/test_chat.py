"""Chat is asked typed or as JSON, by one method whole and by the other as a stream, and answered in the same form."""

import json
from typing import Any

import pytest
from checkrein.v1.chat_pb2 import ChatCompletionRequest, ChatContent, ChatMessage
from checkrein.v1.chat_service_pb2 import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    StreamChatCompletionRequest,
    StreamChatCompletionResponse,
)

from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import RouterError
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from router.facades.grpc.chat import chat_service, read_chat
from tests.support.fake_rpc import FakeRpc, ask, method
from tests.support.fakes import chunk, usage_chunk
from tests.support.grpc_rig import GrpcRig
from tests.support.waiting import turns

TYPED = ChatCompletionRequest(
    model="small", messages=[ChatMessage(role="user", content=ChatContent(text="hi"))], max_completion_tokens=9
)
JSON = b'{"model":"small","messages":[{"role":"user","content":"hi"}],"max_completion_tokens":9}'
REPLY = (
    b'{"id":"x","object":"chat.completion", "created":1,"model":"up-1","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306}}'
)
UNHELD = b'{"model":"up-1"}'
"""What no typed message can hold."""
DONE = chunk("", finish="stop")


async def create(rig: GrpcRig, rpc: FakeRpc, request: CreateChatCompletionRequest) -> CreateChatCompletionResponse:
    serve = method(chat_service(rig.border), "/checkrein.v1.ChatService/CreateChatCompletion")
    raw = await ask(serve, request, rpc)
    assert raw is not None, rpc.told
    return CreateChatCompletionResponse.FromString(raw)


async def stream(rig: GrpcRig, rpc: FakeRpc, **body: Any) -> list[StreamChatCompletionResponse]:
    serve = method(chat_service(rig.border), "/checkrein.v1.ChatService/StreamChatCompletion")
    await ask(serve, StreamChatCompletionRequest(**(body or {"chat_json": JSON})), rpc)
    return [StreamChatCompletionResponse.FromString(raw) for raw in rpc.written]


def kinds(messages: list[StreamChatCompletionResponse]) -> list[str]:
    """`chunks` and `chunks_json` with how many there are in it."""
    said = []
    for message in messages:
        kind = message.WhichOneof("event")
        assert kind is not None
        many = {"chunks": message.chunks.chunks, "chunks_json": message.chunks_json.chunks}.get(kind)
        said.append(kind if many is None else f"{kind} {len(many)}")
    return said


# --- whole -----------------------------------------------------------------------------------------------------------


async def test_a_whole_reply_to_json_is_the_bytes_that_came() -> None:
    rig = GrpcRig()
    rig.upstream().feed(Event(EventKind.COMPLETE, REPLY))
    reply = await create(rig, FakeRpc(), CreateChatCompletionRequest(chat_json=JSON))

    assert REPLY == reply.completion_json
    assert "completion_json" == reply.WhichOneof("body")
    assert (2_006, 300, 7_012_000) == (reply.usage.input_tokens, reply.usage.output_tokens, reply.cost.total_nano_usd)
    assert ("up/model", "model", 1) == (reply.served.deployment, reply.served.upstream_model, reply.served.attempts)


async def test_a_whole_reply_to_typed_is_typed_where_it_can_be() -> None:
    rig = GrpcRig()
    rig.upstream().feed(Event(EventKind.COMPLETE, REPLY))
    rig.upstream().feed(Event(EventKind.COMPLETE, UNHELD))
    typed = await create(rig, FakeRpc(), CreateChatCompletionRequest(chat=TYPED))
    other = await create(rig, FakeRpc(), CreateChatCompletionRequest(chat=TYPED))

    assert "Hello" == typed.completion.choices[0].message.content.text
    assert ("completion_json", UNHELD) == (other.WhichOneof("body"), other.completion_json)


async def test_both_forms_are_the_same_to_a_provider() -> None:
    rig = GrpcRig()
    for body in ({"chat": TYPED}, {"chat_json": JSON}):
        rig.upstream().feed(Event(EventKind.COMPLETE, REPLY))
        await create(rig, FakeRpc(), CreateChatCompletionRequest(**body))
    typed, raw = [json.loads(request.body) for request in rig.upstreams.requests]

    assert typed == raw


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [False, True])
async def test_a_stream_is_served_then_chunks_then_a_summary(*, typed: bool) -> None:
    rig, rpc = GrpcRig(), FakeRpc()
    upstream = rig.upstream()
    upstream.feed(chunk("a"), chunk("b"), chunk("c"))
    upstream.feed(chunk("d"), DONE, usage_chunk(7, 2), END_EVENT)
    messages = await stream(rig, rpc, **({"chat": TYPED} if typed else {"chat_json": JSON}))
    field = "chunks" if typed else "chunks_json"

    assert ["served", f"{field} 1", f"{field} 2", f"{field} 2", "summary"] == kinds(messages)
    assert (7, 2) == (messages[-1].summary.usage.input_tokens, messages[-1].summary.usage.output_tokens)
    assert "up/model" == messages[0].served.deployment == messages[-1].summary.served.deployment
    assert "OK" == rpc.told.code
    assert rpc.told.call_id == messages[0].served.call_id


async def test_a_chunk_is_its_event_without_what_sse_puts_around_it() -> None:
    rig, rpc = GrpcRig(), FakeRpc()
    rig.upstream().feed(chunk("a"), DONE, END_EVENT)
    messages = await stream(rig, rpc)

    assert [chunk("a").raw[len(b"data: ") :].strip()] == list(messages[1].chunks_json.chunks)


async def test_comments_are_no_chunks() -> None:
    rig, rpc = GrpcRig(), FakeRpc()
    comment = Event(EventKind.COMMENT, b": still here\n\n")
    upstream = rig.upstream()
    upstream.feed(chunk("a"), comment, chunk("b"))
    upstream.feed(comment)
    upstream.feed(comment, DONE, END_EVENT)

    assert ["served", "chunks_json 1", "chunks_json 1", "chunks_json 1", "summary"] == kinds(await stream(rig, rpc))


async def test_what_no_typed_message_holds_keeps_its_place_among_those_that_one_does() -> None:
    rig, rpc = GrpcRig(), FakeRpc()
    odd = Event(EventKind.CHUNK, b"data: %b\n\n" % UNHELD)
    upstream = rig.upstream()
    upstream.feed(chunk("a"), chunk("b"), chunk("c"), odd, odd, chunk("d"), odd)
    upstream.feed(odd, chunk("e"), DONE, END_EVENT)
    messages = await stream(rig, rpc, chat=TYPED)

    assert [
        "served", "chunks 1", "chunks 2", "chunks_json 2", "chunks 1", "chunks_json 1", "chunks_json 1", "chunks 2",
        "summary",
    ] == kinds(messages)  # fmt: skip
    typed = [one for message in messages for one in message.chunks.chunks]
    assert ["a", "b", "c", "d", "e", ""] == [one.choices[0].delta.content for one in typed]


async def test_a_broken_stream_ends_in_its_fault_after_what_came() -> None:
    rig, rpc = GrpcRig(), FakeRpc()
    upstream = rig.upstream()
    upstream.feed(chunk("a"))
    upstream.feed(chunk("b"))
    upstream.fail(Failure(kind=FailureKind.CUT, message="it was cut"))
    messages = await stream(rig, rpc)

    assert ["served", "chunks_json 1", "chunks_json 1"] == kinds(messages)
    assert ("UNAVAILABLE", "UPSTREAM_STREAM_INTERRUPTED") == (rpc.told.code, rpc.told.info["reason"])
    assert rpc.told.call_id == messages[0].served.call_id
    await turns(5)
    assert ["interrupted"] == [one.outcome for one in rig.telemetry.settled]


async def test_a_stream_that_fails_before_it_begins_has_its_status_and_no_message() -> None:
    rig, rpc = GrpcRig(), FakeRpc()
    rig.upstreams.replies.append(Failure(kind=FailureKind.STATUS, message="no", status=503))

    assert [] == await stream(rig, rpc)
    assert "UNAVAILABLE" == rpc.told.code


async def test_nothing_is_dispatched_once_the_deadline_has_passed() -> None:
    for seconds_left in (0.0, -1.0, 0.000_000_1):
        rig, rpc = GrpcRig(), FakeRpc(seconds_left=seconds_left)
        rig.upstream()
        rig.clock.monotonic_ns = _ticking(rig.clock.monotonic)  # type: ignore[method-assign]  # time passes by itself

        assert [] == await stream(rig, rpc)
        assert "DEADLINE_EXCEEDED" == rpc.told.code
        assert [] == rig.upstreams.requests


async def test_a_store_that_is_away_is_no_fault_of_the_caller() -> None:
    """T23: who may come again is told when."""
    rig, rpc = GrpcRig(), FakeRpc()
    rig.ledger.broken = True

    assert [] == await stream(rig, rpc)
    assert ("UNAVAILABLE", "OVERLOADED") == (rpc.told.code, rpc.told.info["reason"])
    assert "RetryInfo" in rpc.told.details
    assert [] == rig.upstreams.requests


def _ticking(now: int) -> Any:
    moments = iter(range(now, now + 10_000_000, 1_000))
    return lambda: next(moments)


# --- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "mode", "param"),
    [
        (None, ReplyMode.UNARY, None),
        (None, ReplyMode.STREAM, None),
        (False, ReplyMode.UNARY, None),
        (True, ReplyMode.STREAM, None),
        (True, ReplyMode.UNARY, "stream"),
        (False, ReplyMode.STREAM, "stream"),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_the_method_says_whether_it_is_a_stream(
    said: bool | None, mode: ReplyMode, param: str | None, *, typed: bool
) -> None:
    members = json.loads(JSON) | ({} if said is None else {"stream": said})
    if typed:
        chat = ChatCompletionRequest(extra_json="" if said is None else json.dumps({"stream": said}))
        chat.MergeFrom(TYPED)
        request = CreateChatCompletionRequest(chat=chat)
    else:
        request = CreateChatCompletionRequest(chat_json=json.dumps(members).encode())
    if param is None:
        read = read_chat(request, mode)
        assert mode is read.mode
        assert (mode is ReplyMode.STREAM) == (bytes(read.fields.get("stream", b"false")) == b"true")
        return
    with pytest.raises(RouterError) as caught:
        read_chat(request, mode)
    assert "stream" in str(caught.value.refusal.param)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (CreateChatCompletionRequest(), "chat"),
        (CreateChatCompletionRequest(chat_json=b""), None),
        (CreateChatCompletionRequest(chat_json=b"{"), None),
        (CreateChatCompletionRequest(chat=ChatCompletionRequest(extra_json="[]")), "extra_json"),
    ],
)
def test_what_is_no_chat_is_refused(request_: CreateChatCompletionRequest, param: str | None) -> None:
    with pytest.raises(RouterError) as caught:
        read_chat(request_, ReplyMode.UNARY)

    assert 400 == caught.value.refusal.status
    assert (param or "") in (caught.value.refusal.param or "")
