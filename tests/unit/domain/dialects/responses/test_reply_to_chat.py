import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dialects.responses.reply_from_chat import ChatToResponses
from router.domain.dialects.responses.reply_to_chat import ITEMS_MAX, ResponsesToChat
from router.domain.stream import END_EVENT, ERROR_EVENT, KEEP_ALIVE, Event, EventKind
from router.domain.usage import TokenUsage
from tests.support.responses import (
    chance_of,
    chat_chunk,
    chat_of,
    complete,
    ended,
    pieces,
    raws,
    response_event,
    through,
    told,
)

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 13,
}
READ = TokenUsage(input=9, cached_input=5, cache_write=1, output=4, reasoning=2)
RESPONSE = {"id": "resp_up", "object": "response", "model": "up-1", "status": "completed", "output": [], "usage": USAGE}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "h"}, {"type": "summary_text", "text": "m"}],
}
CREATED = response_event("response.created", response=RESPONSE | {"status": "in_progress", "usage": None})
COMPLETED = response_event("response.completed", response=RESPONSE)


def translator(*, wants_usage: bool = True) -> ResponsesToChat:
    return ResponsesToChat(reply_id="chatcmpl-1", created_s=7, wants_usage=wants_usage)


def text(delta: str, at: int = 0, kind: str = "output_text", **more: object) -> Event:
    return response_event(f"response.{kind}.delta", delta=delta, output_index=at, content_index=0, **more)


def added(item: dict[str, object], at: int = 0) -> Event:
    return response_event("response.output_item.added", item=item, output_index=at)


def done(item: dict[str, object], at: int = 0) -> Event:
    return response_event("response.output_item.done", item=item, output_index=at)


def streamed(*events: Event) -> ChatCompletion:
    return chat_of(through(translator(), ended(CREATED, *events)))


def whole(*output: object, **members: object) -> ChatCompletion:
    [event] = translator().take([complete(RESPONSE | {"output": output} | members)])
    assert EventKind.COMPLETE is event.kind
    return ChatCompletion.model_validate_json(event.raw)


def calls_of(chat: ChatCompletion) -> list[tuple[str, str, str]]:
    calls = chat.choices[0].message.tool_calls or ()
    return [(call.id, call.function.name, call.function.arguments) for call in calls]  # type: ignore[union-attr]


def test_a_stream_of_text_is_a_role_the_text_one_finish_and_the_usage() -> None:
    item = MESSAGE | {"content": [], "status": "in_progress"}
    events = through(translator(), ended(CREATED, added(item), text("He"), text("llo"), done(MESSAGE), COMPLETED))

    chunks = told(events)
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "up-1"}
    assert all(head.items() <= chunk.items() for chunk in chunks)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]  # type: ignore[attr-defined]
    assert [{"role": "assistant", "content": ""}, {"content": "He"}, {"content": "llo"}, {}] == [
        choice["delta"] for choice in choices
    ]
    assert [None, None, None, "stop"] == [choice["finish_reason"] for choice in choices]
    assert [] == chunks[-1]["choices"]
    assert 13 == chunks[-1]["usage"]["total_tokens"]  # type: ignore[index]
    assert END_EVENT is events[-1]
    assert "Hello" == chat_of(events).choices[0].message.content


def test_usage_comes_only_to_who_asked() -> None:
    chunks = told(through(translator(wants_usage=False), ended(CREATED, text("a"), COMPLETED)))

    assert all("usage" not in chunk for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)


def test_the_meter_reads_what_comes_out() -> None:
    meter = ChatMeter(wants_usage=True)
    meter.take(through(translator(), ended(CREATED, text("a"), COMPLETED)))
    assert (True, READ, "up-1") == (meter.finished, meter.usage, meter.served_model)

    meter = ChatMeter(wants_usage=True)
    meter.take(translator().take([complete(RESPONSE | {"output": [MESSAGE]})]))
    assert (True, READ, "up-1") == (meter.finished, meter.usage, meter.served_model)


def test_calls_keep_ids_names_and_arguments() -> None:
    begun = CALL | {"arguments": ""}
    second = begun | {"id": "fc_2", "call_id": "c2", "name": "g"}
    deltas = "response.function_call_arguments.delta"
    chat = streamed(
        added(begun, 0),
        added(second, 1),
        response_event(deltas, delta='{"a"', output_index=0),
        response_event(deltas, delta="{}", output_index=1),
        response_event(deltas, delta=":1}", output_index=0),
        done(CALL, 0),
        done(second | {"arguments": "{}"}, 1),
        COMPLETED,
    )

    assert [("c1", "f", '{"a":1}'), ("c2", "g", "{}")] == calls_of(chat)
    assert "tool_calls" == chat.choices[0].finish_reason


def test_items_that_come_whole_are_said_whole_and_once() -> None:
    for events in (
        [added(CALL, 1), done(CALL, 1), done(MESSAGE, 0), COMPLETED],
        [done(CALL, 1), done(MESSAGE, 0), COMPLETED],
        [added(CALL | {"arguments": ""}, 1), done(CALL, 1), text("Hello", 0), done(MESSAGE, 0), COMPLETED],
        [response_event("response.completed", response=RESPONSE | {"output": [MESSAGE, CALL]})],
    ):
        chat = streamed(*events)
        assert [("c1", "f", '{"a":1}')] == calls_of(chat)
        assert "Hello" == chat.choices[0].message.content
        assert "tool_calls" == chat.choices[0].finish_reason


def thoughts(*events: Event) -> str:
    chunks = told(through(translator(), ended(CREATED, *events)))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]  # type: ignore[attr-defined]
    return "".join(delta.get("reasoning_content", "") for delta in deltas)


def test_thoughts_are_told_in_the_kind_that_came_first() -> None:
    summary = "reasoning_summary_text"
    assert "h\n\nmm" == thoughts(
        text("h", kind=summary, summary_index=0),
        text("m", kind=summary, summary_index=1),
        text("m", kind=summary, summary_index=1),
        done(THOUGHT),
        COMPLETED,
    )
    assert "hm" == thoughts(
        text("h", kind="reasoning_text"), text("x", kind=summary, summary_index=0), text("m", kind="reasoning_text")
    )
    assert "h\n\nm" == thoughts(done(THOUGHT))
    assert "h\n\nm" == whole(THOUGHT, MESSAGE).choices[0].message.reasoning_content  # type: ignore[attr-defined]
    both = THOUGHT | {"content": [{"type": "reasoning_text", "text": "all"}]}
    assert "all" == whole(both, MESSAGE).choices[0].message.reasoning_content  # type: ignore[attr-defined]


def test_a_refusal_is_one() -> None:
    refusal = MESSAGE | {"content": [{"type": "refusal", "refusal": "no"}]}

    for chat in (
        streamed(text("n", kind="refusal"), text("o", kind="refusal"), done(refusal), COMPLETED),
        streamed(done(refusal), COMPLETED),
        whole(refusal),
    ):
        assert "no" == chat.choices[0].message.refusal
        assert not chat.choices[0].message.content


def test_probabilities_go_with_their_text() -> None:
    token = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}
    item = MESSAGE | {"content": [{"type": "output_text", "text": "aa", "logprobs": [token, token]}]}

    for chat in (
        streamed(text("a", logprobs=[token]), text("a", logprobs=[token]), COMPLETED),
        whole(item),
        streamed(done(item), COMPLETED),
    ):
        assert chat.choices[0].logprobs is not None
        assert [token, token] == [one.model_dump() for one in chat.choices[0].logprobs.content or ()]


@pytest.mark.parametrize(
    ("status", "reason", "finish"),
    [
        ("completed", None, "stop"),
        ("incomplete", "max_output_tokens", "length"),
        ("incomplete", "content_filter", "content_filter"),
        ("incomplete", "something_new", "length"),
        ("incomplete", None, "length"),
    ],
)
def test_every_end_has_its_finish(status: str, reason: str | None, finish: str) -> None:
    ending = {"status": status, "incomplete_details": {"reason": reason} if reason else None}

    assert (
        finish
        == streamed(text("a"), response_event(f"response.{status}", response=RESPONSE | ending))
        .choices[0]
        .finish_reason
    )
    assert finish == whole(MESSAGE, **ending).choices[0].finish_reason
    cut_call = whole(CALL, **ending).choices[0].finish_reason
    assert ("tool_calls" if finish == "stop" else finish) == cut_call


def test_a_stream_that_breaks_has_no_finish() -> None:
    for last in ([], [ERROR_EVENT], [END_EVENT]):
        events = through(translator(), [CREATED, text("a"), *last])
        choices = [choice for chunk in told(events) for choice in chunk["choices"]]  # type: ignore[attr-defined]
        assert [None, None] == [choice["finish_reason"] for choice in choices]
        assert last == events[2:]


@pytest.mark.parametrize(
    "failure",
    [
        response_event(
            "response.failed",
            response=RESPONSE | {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "x"}},
        ),
        response_event("error", code="rate_limit_exceeded", message="x", param=None),
    ],
)
def test_a_failure_is_one_that_the_meter_knows(failure: Event) -> None:
    meter = ChatMeter(wants_usage=True)
    meter.take(through(translator(), [CREATED, text("a"), failure]))

    assert meter.failure is not None
    assert "rate_limit_exceeded" == meter.failure.code
    assert not meter.finished


def test_a_whole_reply_that_failed_is_a_failure() -> None:
    error = {"code": "server_error", "message": "x"}
    meter = ChatMeter(wants_usage=True)
    [event] = translator().take([complete(RESPONSE | {"status": "failed", "error": error})])
    meter.take([event])

    assert meter.failure is not None
    assert "server_error" == meter.failure.code
    assert "x" == json.loads(event.raw)["error"]["message"]


def test_a_failure_without_a_reason_is_still_one() -> None:
    [chunk] = told(translator().take([response_event("response.failed")]))

    assert {"message": "The provider reported an error.", "type": "server_error", "param": None, "code": None} == chunk[
        "error"
    ]


def test_comments_pass_and_what_is_of_no_use_says_nothing() -> None:
    raws_ = (b"data: {oops\n\n", b'data: {"a":1}\n\n', b'data: {"type":"\xff"}\n\n', b"data: [DONE]\n\n")
    odd = [Event(EventKind.CHUNK, raw) for raw in raws_]
    hosted = [
        response_event("response.web_search_call.searching", output_index=0),
        added({"type": "web_search_call", "id": "ws"}),
        response_event("response.future", output_index=0),
        response_event("response.function_call_arguments.delta", delta="{}", output_index=9),
    ]

    assert [KEEP_ALIVE] == translator().take([KEEP_ALIVE, *odd, *hosted])


def test_a_stream_that_skips_its_beginning_still_says_who_speaks() -> None:
    [first, *_] = told(translator().take([text("a")]))

    assert {"role": "assistant", "content": "a"} == first["choices"][0]["delta"]  # type: ignore[index]


def test_a_stream_may_have_so_many_items_and_no_more() -> None:
    one = translator()
    through(one, [text("a", at) for at in range(ITEMS_MAX)])

    with pytest.raises(ValueError, match="too many items"):
        one.take([text("a", ITEMS_MAX)])


def test_calls_that_share_a_place_are_told_apart() -> None:
    second = CALL | {"call_id": "c2", "arguments": "{}"}
    begun, again = CALL | {"arguments": ""}, second | {"arguments": ""}

    assert [("c1", "f", '{"a":1}'), ("c2", "f", "{}")] == calls_of(
        streamed(added(begun), done(CALL), added(again), done(second), COMPLETED)
    )


def test_half_a_pair_and_odd_escapes_keep_their_bytes() -> None:
    raw = b'event: x\ndata: {"type":"response.output_text.delta","delta":"%b","output_index":0}\n\n'
    first, second = translator().take([Event(EventKind.CHUNK, raw % half) for half in (b"\\/\\ud83d", b"\\ude00")])

    assert b'"content":"\\/\\ud83d"' in first.raw
    assert b'"content":"\\ude00"' in second.raw


def test_a_whole_response_is_a_completion() -> None:
    chat = whole(THOUGHT, MESSAGE, CALL, CALL | {"call_id": "c2"}, service_tier="flex")

    assert ("chatcmpl-1", 7, "up-1", "flex") == (chat.id, chat.created, chat.model, chat.service_tier)
    assert "Hello" == chat.choices[0].message.content
    assert [("c1", "f", '{"a":1}'), ("c2", "f", '{"a":1}')] == calls_of(chat)
    assert chat.usage is not None
    assert (9, 4, 13) == (chat.usage.prompt_tokens, chat.usage.completion_tokens, chat.usage.total_tokens)
    assert None is whole(CALL).choices[0].message.content


@pytest.mark.parametrize("body", [[], {}, {"choices": []}, {"output": 7}])
def test_what_is_no_response_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="The provider's reply"):
        translator().take([complete(body)])


ODD = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(["type", "content", "summary", "arguments", "text", "call_id", "status"], inner),
        )
    ),
    max_leaves=8,
)
ODD_MEMBERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["delta", "item", "type", "output_index", "response", "error"], ODD)
)
KINDS = st.sampled_from(
    ["output_item.added", "output_item.done", "output_text.delta", "refusal.delta", "reasoning_text.delta", "created"]
)


@settings(max_examples=100, deadline=None)
@given(KINDS, ODD_MEMBERS)
def test_whatever_shape_an_event_has_the_stream_goes_on(kind: str, members: dict[str, object]) -> None:
    odd = response_event(f"response.{kind}", **members)
    assert "stop" == streamed(odd, text("a", 1), COMPLETED).choices[0].finish_reason


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(TEXT, st.text(max_size=20), st.lists(TEXT, max_size=4), st.integers(0, 2**32))
def test_any_chat_stream_comes_back_from_responses_as_it_was(
    thought: str, said: str, calls: list[str], seed: int
) -> None:
    chance = chance_of(seed)
    chunks = [chat_chunk({"reasoning_content": piece}) for piece in pieces(thought, chance)]
    chunks += [chat_chunk({"content": piece}) for piece in pieces(said, chance)]
    queues = []
    for index, arguments in enumerate(calls):
        begun = {"index": index, "id": f"c{index}", "function": {"name": f"f{index}", "arguments": ""}}
        chunks.append(chat_chunk({"tool_calls": [begun]}))
        piecewise = [{"index": index, "function": {"arguments": piece}} for piece in pieces(arguments, chance)]
        queues.append([chat_chunk({"tool_calls": [piece]}) for piece in piecewise])
    while any(queues):
        chunks.append(chance.choice([queue for queue in queues if queue]).pop(0))
    finish = chance.choice(["length", "content_filter", "tool_calls" if calls else "stop"])
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}

    there = ChatToResponses(reply_id="resp_1", created_s=7, request=raws({"model": "m"}))
    events = through(there, ended(*chunks, chat_chunk({}, finish), chat_chunk(None, usage=usage)), chance)
    back = through(translator(), events, chance)

    chat = chat_of(back)
    assert (said or None, finish) == (chat.choices[0].message.content or None, chat.choices[0].finish_reason)
    assert [(f"c{at}", f"f{at}", arguments) for at, arguments in enumerate(calls)] == calls_of(chat)
    deltas = [choice["delta"] for chunk in told(back) for choice in chunk["choices"]]  # type: ignore[attr-defined]
    assert thought == "".join(delta.get("reasoning_content", "") for delta in deltas)
    assert END_EVENT is back[-1]
    [response] = [
        data["response"] for data in told(events) if data["type"] in {"response.completed", "response.incomplete"}
    ]
    [event] = translator().take([complete(response)])
    unary = ChatCompletion.model_validate_json(event.raw)
    assert calls_of(unary) == calls_of(chat)
    assert (said or None, finish) == (unary.choices[0].message.content, unary.choices[0].finish_reason)


def test_a_tier_that_is_none_of_openais_is_not_told() -> None:
    assert whole(MESSAGE, service_tier="on_demand").service_tier is None
