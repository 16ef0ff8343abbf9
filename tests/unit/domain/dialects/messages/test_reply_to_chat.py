import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dialects.messages.reply_to_chat import MessagesToChat
from router.domain.stream import END_EVENT, KEEP_ALIVE, Event, EventKind
from router.domain.usage import TokenUsage
from tests.support.messages_streams import (
    Json,
    as_chat,
    completion_of,
    data_of,
    fold_chat,
    messages_event,
    to_chat,
)

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 1}
START = {
    "type": "message_start",
    "message": {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": USAGE,
    },
}
THOUGHT = {"type": "thinking", "thinking": "Let me see…", "signature": "EqQB\\u1"}
HIDDEN = {"type": "redacted_thinking", "data": "EmwK"}
TEXT = {"type": "text", "text": 'It is 15°C "now" 🌧\n'}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Zürich", "n": 2**70}}
BARE = {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}


def stream_of(message: Json, cuts: list[int] | None = None) -> list[Event]:
    """Write the stream in which a provider would say a message; `cuts` are the lengths of its pieces."""
    lengths = iter(cuts or [])

    def pieces(text: str) -> list[str]:
        found = []
        while text:
            length = max(1, next(lengths, 4))
            found.append(text[:length])
            text = text[length:]
        return found

    events: list[Json] = [START, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        begins: Json = dict(block)
        deltas: list[Json] = []
        match block["type"]:
            case "text":
                begins["text"] = ""
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
            case "thinking":
                begins |= {"thinking": "", "signature": ""}
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
                deltas += [{"type": "signature_delta", "signature": block["signature"]}]
            case "tool_use":
                begins["input"] = {}
                text = json.dumps(block["input"]) if block["input"] else ""
                deltas = [{"type": "input_json_delta", "partial_json": ""}]
                deltas += [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(text)]
        events.append({"type": "content_block_start", "index": index, "content_block": begins})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ends = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ends, "usage": {"output_tokens": 42}})
    events.append({"type": "message_stop"})
    return [messages_event(event) for event in events]


def whole(content: list[Json], stop_reason: str = "end_turn", **more: object) -> Json:
    said = START["message"]
    assert isinstance(said, dict)
    return {**said, "content": content, "stop_reason": stop_reason, "usage": USAGE | {"output_tokens": 42}, **more}


def translated(message: Json) -> Json:
    (event,) = to_chat().take([Event(EventKind.COMPLETE, json.dumps(message).encode())])
    assert event.kind is EventKind.COMPLETE
    completion_of(event)
    found: Json = json.loads(event.raw)
    return found


def without_index(folded: Json) -> Json:
    message: Json = folded["choices"][0]["message"]
    for thought in message.get("thinking_blocks", []):
        del thought["index"]
    for call in message.get("tool_calls") or []:
        call.pop("index", None)
    return message


def test_a_whole_reply_keeps_every_block_it_can() -> None:
    found = translated(whole([THOUGHT, HIDDEN, TEXT, CALL, BARE], "tool_use"))

    assert {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 7,
        "model": "claude-x",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": TEXT["text"],
                    "refusal": None,
                    "reasoning_content": THOUGHT["thinking"],
                    "thinking_blocks": [THOUGHT, HIDDEN],
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": json.dumps(CALL["input"])},
                        },
                        {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 18,
            "completion_tokens": 42,
            "total_tokens": 60,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
        },
    } == found


def test_arguments_keep_their_bytes() -> None:
    text = '{"b": 1e400, "a":12345678901234567890123, "\\u00e9": "\\/"}'
    body = b'{"type":"message","content":[{"type":"tool_use","id":"t","name":"f","input":%b}]}' % text.encode()
    (event,) = to_chat().take([Event(EventKind.COMPLETE, body)])

    assert text == json.loads(event.raw)["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]


def test_texts_of_several_blocks_are_one() -> None:
    found = translated(whole([{"type": "text", "text": "a\u2028"}, {"type": "text", "text": "b"}]))

    assert "a\u2028b" == found["choices"][0]["message"]["content"]


def test_a_refusal_says_why() -> None:
    found = translated(whole([], "refusal", stop_details={"type": "refusal", "explanation": "No."}))

    assert "No." == found["choices"][0]["message"]["refusal"]
    assert found["choices"][0]["message"]["content"] is None
    assert "content_filter" == found["choices"][0]["finish_reason"]


def test_a_reply_without_usage_claims_none() -> None:
    message = whole([TEXT])
    del message["usage"]

    assert "usage" not in translated(message)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'{"type":"error","error":{}}', b'{"type":"message","content":1}']
)
def test_a_body_of_another_dialect_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        to_chat().take([Event(EventKind.COMPLETE, body)])


def test_a_stream_says_role_pieces_finish_and_usage_in_this_order() -> None:
    events = as_chat(stream_of(whole([TEXT]), [6, 100]))

    assert [EventKind.CHUNK, EventKind.COMMENT, *[EventKind.CHUNK] * 4, EventKind.END] == [e.kind for e in events]
    assert KEEP_ALIVE is events[1]
    chunks = [data_of(event) for event in events if event.kind is EventKind.CHUNK]
    assert [
        [{"index": 0, "delta": {"role": "assistant"}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": TEXT["text"][:6]}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {"content": TEXT["text"][6:]}, "logprobs": None, "finish_reason": None}],
        [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}],
        [],
    ] == [chunk["choices"] for chunk in chunks]
    assert {("chatcmpl-r1", "chat.completion.chunk", 7, "claude-x")} == {
        (chunk["id"], chunk["object"], chunk["created"], chunk["model"]) for chunk in chunks
    }
    assert 60 == chunks[-1]["usage"]["total_tokens"]


def test_the_meter_reads_what_was_used() -> None:
    meter = ChatMeter(wants_usage=True)
    meter.take(as_chat(stream_of(whole([THOUGHT, TEXT]))))

    assert TokenUsage(input=18, cached_input=5, cache_write=3, output=42) == meter.usage
    assert meter.finished
    assert "claude-x" == meter.served_model


def test_usage_goes_unsaid_if_nobody_wants_it() -> None:
    events = to_chat(wants_usage=False).take([*stream_of(whole([TEXT])), END_EVENT])

    assert [] == [event for event in events if event.kind is EventKind.CHUNK and "usage" in data_of(event)]


def test_usage_is_said_once_even_where_the_last_event_is_missing() -> None:
    events = as_chat(stream_of(whole([TEXT]))[:-1])

    assert END_EVENT is events[-1]
    assert [60] == [
        data_of(e)["usage"]["total_tokens"] for e in events if e.kind is EventKind.CHUNK and b"usage" in e.raw
    ]


@pytest.mark.parametrize("kept", range(1, 9))
def test_a_stream_that_is_cut_has_no_finish(kept: int) -> None:
    events = stream_of(whole([TEXT, CALL], "tool_use"))[:-2]

    assert [] == fold_chat(to_chat().take(events[:kept]))["finishes"]


def test_a_second_finish_is_not_passed_on() -> None:
    events = stream_of(whole([TEXT]))
    again = messages_event(
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 43}}
    )
    folded = fold_chat(as_chat([*events[:-1], again, events[-1]]))

    assert ["stop"] == folded["finishes"]
    assert 43 == folded["usage"]["completion_tokens"]


def test_input_that_comes_at_the_start_of_its_block_is_not_lost() -> None:
    events = stream_of(whole([BARE], "tool_use"))
    events[2] = messages_event({"type": "content_block_start", "index": 0, "content_block": CALL})

    assert [json.dumps(CALL["input"])] == [
        call["function"]["arguments"] for call in fold_chat(as_chat(events))["choices"][0]["message"]["tool_calls"]
    ]


def test_an_error_is_one_that_the_meter_knows() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    (event,) = to_chat().take([messages_event(error)])
    meter = ChatMeter(wants_usage=True)
    meter.take([event])

    assert {"error": {"message": "Overloaded", "type": "overloaded_error", "param": None, "code": None}} == data_of(
        event
    )
    assert meter.failure is not None
    assert "overloaded_error" == meter.failure.type


@pytest.mark.parametrize("data", [b"{", b"[1]", b'{"type":5}', b'{"type":"content_block_delta","index":"x"}', b""])
def test_what_is_no_event_says_nothing_to_the_caller(data: bytes) -> None:
    assert [] == to_chat().take([Event(EventKind.CHUNK, b"event: x\ndata: " + data + b"\n\n")])


@pytest.mark.parametrize(
    "event",
    [
        {"type": "something_new", "index": 3},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "server_tool_use", "id": "s", "name": "w"},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {}}},
        {"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta", "partial_json": "{"}},
        {"type": "content_block_stop", "index": 9},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {}},
    ],
)
def test_what_chat_has_no_words_for_is_left_out(event: Json) -> None:
    assert [] == to_chat().take([messages_event(event)])


def test_half_a_surrogate_pair_passes_as_it_came() -> None:
    raw = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\ud83d"}}\n\n'
    (event,) = to_chat().take([Event(EventKind.CHUNK, raw)])

    assert b'"content":"a\\ud83d"' in event.raw


def test_comments_and_breaks_pass() -> None:
    events = [KEEP_ALIVE, Event(EventKind.ERROR, b"")]

    assert events == to_chat().take(events)


ARGUMENTS: Any = st.dictionaries(
    st.text(max_size=4), st.recursive(st.integers() | st.text(max_size=4), st.lists, max_leaves=3), max_size=3
)
BLOCKS: Any = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, st.text(min_size=1, max_size=12)),
    st.builds(
        lambda text, proof: {"type": "thinking", "thinking": text, "signature": proof},
        st.text(max_size=12),
        st.text("aB/+=", min_size=1),
    ),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, st.text("aB/+=")),
    st.builds(
        lambda number, given: {"type": "tool_use", "id": f"toolu_{number}", "name": "f", "input": given},
        st.integers(0, 10**6),
        ARGUMENTS,
    ),
)


@pytest.mark.slow
@settings(deadline=None)
@given(
    content=st.lists(BLOCKS, max_size=4),
    stop=st.sampled_from(["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal", "pause_turn"]),
    cuts=st.lists(st.integers(1, 9)),
    batches=st.lists(st.integers(1, 5)),
)
def test_a_stream_put_together_is_the_whole_reply_however_it_is_cut(
    content: list[Json], stop: str, cuts: list[int], batches: list[int]
) -> None:
    events = [*stream_of(whole(content, stop), cuts), END_EVENT]
    at_once = to_chat().take(events)
    translator, in_batches, lengths = to_chat(), [], iter(batches)
    while events:
        size = next(lengths, 1)
        in_batches += translator.take(events[:size])
        events = events[size:]
    folded = fold_chat(at_once)
    at_rest = translated(whole(content, stop))

    assert at_once == in_batches
    assert [at_rest["choices"][0]["finish_reason"]] == folded["finishes"]
    expected = {name: value for name, value in at_rest["choices"][0]["message"].items() if value is not None}
    assert expected == without_index(folded)
    assert at_rest["usage"] == folded["usage"]


def test_arguments_that_are_no_text_break_the_stream_and_are_not_left_out() -> None:
    begins = b'{"type":"tool_use","id":"t","name":"f","input":{"a":"\xff"}}'
    raw = b'data: {"type":"content_block_start","index":0,"content_block":%b}\n\n' % begins
    events = [Event(EventKind.CHUNK, raw), messages_event({"type": "content_block_stop", "index": 0})]

    with pytest.raises(ValueError, match="utf-8"):
        to_chat().take(events)


@pytest.mark.parametrize(("stop", "finish"), [("end_turn", "stop"), ("tool_use", "tool_calls")])
def test_an_ordinary_end_is_kept_for_who_wants_it(stop: str, finish: str) -> None:
    message = {**START["message"], "content": [BARE], "stop_reason": stop}
    keeping = MessagesToChat(reply_id="r1", created_s=7, wants_usage=False, keeps_finish=True)

    assert [finish] == fold_chat(keeping.take(stream_of(message)))["finishes"]
    (event,) = keeping.take([Event(EventKind.COMPLETE, json.dumps(message).encode())])
    assert finish == completion_of(event).choices[0].finish_reason
