import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.dialects.messages.reply_from_chat import ChatToMessages
from router.domain.stream import END_EVENT, KEEP_ALIVE, TRUNCATED, Event, EventKind
from tests.support.messages_streams import (
    Json,
    as_chat,
    as_messages,
    chat_delta,
    chat_event,
    data_of,
    fold_messages,
    to_messages,
)

USAGE = {
    "prompt_tokens": 18,
    "completion_tokens": 42,
    "total_tokens": 60,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
USAGE_CHUNK = chat_event({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
USED = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 5,
    "output_tokens": 42,
    "output_tokens_details": {"thinking_tokens": 7},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1e400, "b":[2]}'}}
BARE = {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}


def whole(message: Json, finish: str | None = "stop", **more: object) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": USAGE, **more}


def translated(completion: Json) -> Json:
    (event,) = to_messages().take([Event(EventKind.COMPLETE, json.dumps(completion).encode())])
    assert event.kind is EventKind.COMPLETE
    found: Json = json.loads(event.raw)
    return found


def call_delta(index: int | None, arguments: str | None = None, **more: object) -> Json:
    function = {name: more.pop(name) for name in ("name",) if name in more}
    if arguments is not None:
        function["arguments"] = arguments
    call: Json = {"function": function, **more}
    return {"tool_calls": [call if index is None else {"index": index, **call}]}


def calls_in(events: list[Event]) -> list[tuple[str, str, str]]:
    return [
        (block["id"], block["name"], block["text"])
        for block in fold_messages(events)["content"]
        if block["type"] == "tool_use"
    ]


def test_a_whole_reply_keeps_what_it_says() -> None:
    thoughts = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    said = {
        "content": 'It is "so"\n',
        "reasoning_content": "hm",
        "thinking_blocks": thoughts,
        "tool_calls": [CALL, BARE],
    }
    (event,) = to_messages().take([Event(EventKind.COMPLETE, json.dumps(whole(said, "tool_calls")).encode())])

    assert b'"input":{"a": 1e400, "b":[2]}' in event.raw
    assert {
        "id": "msg_r1",
        "type": "message",
        "role": "assistant",
        "model": "alias",
        "content": [
            *thoughts,
            {"type": "text", "text": 'It is "so"\n'},
            {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": float("inf"), "b": [2]}},
            {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": USED,
    } == json.loads(event.raw)


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_thoughts_of_other_providers_have_an_empty_signature(member: str) -> None:
    found = translated(whole({"content": "x", member: "hm"}))

    assert {"type": "thinking", "thinking": "hm", "signature": ""} == found["content"][0]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"a": "b', {"INVALID_JSON": '{"a": "b'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        (" ", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_arguments_that_are_no_text_of_an_object_are_not_lost(arguments: object, given: Json) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": arguments}}

    assert given == translated(whole({"tool_calls": [call]}))["content"][0]["input"]


def test_a_call_without_an_id_gets_one() -> None:
    calls = [{"function": {"name": "f", "arguments": "{}"}}, {"id": "", "function": {"name": "g", "arguments": "{}"}}]
    found = translated(whole({"tool_calls": calls}))

    assert ["toolu_r1_0", "toolu_r1_1"] == [block["id"] for block in found["content"]]


def test_a_refusal_is_said() -> None:
    found = translated(whole({"content": None, "refusal": "I cannot."}))

    assert [{"type": "text", "text": "I cannot."}] == found["content"]
    assert "refusal" == found["stop_reason"]


def test_a_streamed_refusal_is_said() -> None:
    folded = fold_messages(as_messages([chat_delta({"refusal": "I "}), chat_delta({"refusal": "cannot."}, "stop")]))

    assert ("I cannot.", "refusal") == (folded["content"][0]["text"], folded["stop_reason"])


def test_usage_that_nobody_counted_is_estimated() -> None:
    found = translated(whole({"content": "x" * 400}, usage=None))

    assert 9 == found["usage"]["input_tokens"]
    assert 100 <= found["usage"]["output_tokens"] <= 110


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"index":0}]}', b'{"choices":[{"message":{"content":[1]}}]}'],
)
def test_a_body_of_another_dialect_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        to_messages().take([Event(EventKind.COMPLETE, body)])


def test_a_stream_is_said_as_messages_says_it() -> None:
    events = as_messages(
        [
            chat_delta({"role": "assistant", "content": ""}),
            chat_delta({"content": "It is "}),
            chat_delta({"content": "so."}),
            chat_delta({}, "stop"),
            USAGE_CHUNK,
        ]
    )

    assert END_EVENT is events[-1]
    assert [
        {
            "type": "message_start",
            "message": {
                "id": "msg_r1",
                "type": "message",
                "role": "assistant",
                "model": "alias",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 9,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "It is "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "so."}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": USED},
        {"type": "message_stop"},
    ] == [data_of(event) for event in events[:-1]]


def test_pieces_are_passed_on_when_they_come() -> None:
    translator = to_messages()
    counts = [
        len(translator.take([chat_delta(delta)]))
        for delta in (
            {"reasoning_content": "a"},
            {"reasoning_content": "b"},
            {"content": "c"},
            {"content": "d"},
            call_delta(0, "", id="c1", name="f"),
            call_delta(0, '{"a":'),
            call_delta(0, "1}"),
            call_delta(1, "", id="c2", name="g"),
            call_delta(1, "{}"),
        )
    ]

    # With its first piece a block begins, and the one before it ends.
    assert [1 + 2, 1, 1 + 2, 1, 1 + 1, 1, 1, 1 + 1, 1] == counts


def test_a_cut_stream_has_no_end() -> None:
    events = as_messages([chat_delta({"content": "x"})])

    assert ["message_start", "content_block_start", "content_block_delta"] == [data_of(e)["type"] for e in events[:-1]]
    assert [] == [e for e in to_messages().take([chat_delta({"content": "x"}, "stop")]) if b"message_delta" in e.raw]


def test_a_stream_that_a_budget_cuts_ends_in_its_maximum() -> None:
    events = as_messages([chat_delta({"content": "x"}), TRUNCATED, chat_delta({}, finish="length")])

    assert TRUNCATED in events
    assert "max_tokens" == fold_messages(events)["stop_reason"]


def test_two_finish_reasons_are_one() -> None:
    events = as_messages([chat_delta({"content": "x"}, "length"), chat_delta({}, "stop"), END_EVENT])

    assert ["max_tokens"] == [
        data_of(e)["delta"]["stop_reason"] for e in events if e.kind is EventKind.CHUNK and b'"stop_reason":"' in e.raw
    ]


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_a_stream_with_calls_ends_in_them(finish: str) -> None:
    events = as_messages([chat_delta(call_delta(0, "{}", id="c", name="f")), chat_delta({}, finish)])

    assert "tool_use" == fold_messages(events)["stop_reason"]


@pytest.mark.parametrize(("finish", "stop"), [("stop", "end_turn"), ("tool_calls", "tool_use")])
def test_an_ordinary_end_is_kept_for_who_wants_it(finish: str, stop: str) -> None:
    keeping = ChatToMessages(reply_id="r1", model="m", input_tokens_estimate=9, keeps_finish=True)
    events = [chat_delta(call_delta(0, "{}", id="c", name="f")), chat_delta({}, finish), END_EVENT]
    completion = json.dumps(whole({"tool_calls": [CALL]}, finish)).encode()

    assert stop == fold_messages(keeping.take(events))["stop_reason"]
    (event,) = keeping.take([Event(EventKind.COMPLETE, completion)])
    assert stop == json.loads(event.raw)["stop_reason"]


def test_an_empty_finish_reason_is_none() -> None:
    events = as_messages([chat_delta({"content": "x"}, ""), chat_delta({"content": "y"}, "stop")])

    assert "xy" == fold_messages(events)["content"][0]["text"]


def test_usage_that_nobody_counted_in_a_stream_is_estimated() -> None:
    folded = fold_messages(as_messages([chat_delta({"content": "x"}), chat_delta({"content": "y"}, "stop")]))

    assert (9, 2) == (folded["usage"]["input_tokens"], folded["usage"]["output_tokens"])


def test_only_the_first_choice_is_said() -> None:
    other = {"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}
    events = as_messages([chat_event({"choices": [other]}), chat_delta({"content": "yes"}, "stop")])

    assert ("yes", "end_turn") == (fold_messages(events)["content"][0]["text"], fold_messages(events)["stop_reason"])


@pytest.mark.parametrize(
    ("said", "kind"), [("overloaded_error", "overloaded_error"), ("server_error", "api_error"), (None, "api_error")]
)
def test_an_error_is_one_of_messages(said: str | None, kind: str) -> None:
    (event,) = to_messages().take([chat_event({"error": {"message": "Too much.", "type": said}})])

    assert event.raw.startswith(b"event: error\n")
    assert {"type": "error", "error": {"type": kind, "message": "Too much."}} == data_of(event)


def test_what_is_no_chunk_is_left_out_and_the_rest_passes() -> None:
    broken = Event(EventKind.ERROR, b"")

    assert [KEEP_ALIVE, broken] == to_messages().take([Event(EventKind.CHUNK, b"data: {\n\n"), KEEP_ALIVE, broken])


def test_a_text_after_mixed_calls_waits_and_is_not_lost() -> None:
    events = [
        chat_delta(call_delta(0, '{"a"', id="c1", name="f")),
        chat_delta({"content": "so"}),
        chat_delta({"reasoning_content": "hm"}),
        chat_delta(call_delta(0, ":1}")),
        chat_delta({"content": "!"}, "tool_calls"),
    ]
    folded = fold_messages(as_messages(events))

    assert ["tool_use", "text", "thinking", "text"] == [block["type"] for block in folded["content"]]
    assert [("c1", "f", '{"a":1}')] == calls_in(as_messages(events))


def test_thoughts_keep_their_signatures_when_they_wait() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    hidden = {"type": "redacted_thinking", "data": "d"}
    events = [
        chat_delta(call_delta(0, "{", id="c1", name="f")),
        chat_delta({"thinking_blocks": [thought, hidden, thought]}),
        chat_delta(call_delta(0, "}"), "tool_calls"),
    ]

    assert [thought, hidden, thought] == fold_messages(as_messages(events))["content"][1:]


def test_a_whole_reply_and_its_stream_are_the_same_thoughts_and_texts() -> None:
    blocks = [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "thinking", "thinking": "b", "signature": "t"},
    ]
    deltas = [{"reasoning_content": b["thinking"], "thinking_blocks": [{**b, "signature": ""}]} for b in blocks]
    proofs = [{"thinking_blocks": [{**b, "thinking": ""}]} for b in blocks]
    mixed = [chat_delta(delta) for pair in zip(deltas, proofs, strict=True) for delta in pair]
    folded = fold_messages(as_messages([*mixed, chat_delta({"content": "x"}, "stop"), USAGE_CHUNK]))

    assert translated(whole({"thinking_blocks": blocks, "content": "x"})) == folded


ARGUMENTS: Any = st.dictionaries(
    st.text(max_size=4), st.recursive(st.integers() | st.text(max_size=4), st.lists, max_leaves=3), max_size=3
)


class Entropy:
    """Bytes as a source of choices: drawn at once, they make a thousand streams affordable."""

    def __init__(self, drawn: bytes) -> None:
        self.drawn = iter(drawn)

    def below(self, limit: int) -> int:
        return next(self.drawn, 0) % limit


def mixed(calls: list[tuple[str, str, str]], text: str, chance: Entropy) -> list[Json]:
    """Write deltas that say calls and a text: a call's own pieces in order, the calls in any."""
    queues: list[list[Json]] = []
    for index, (call_id, name, arguments) in enumerate(calls):
        at = sorted(chance.below(len(arguments) + 1) for _ in range(chance.below(5)))
        pieces = [arguments[a:b] for a, b in zip([0, *at], [*at, len(arguments)], strict=True)]
        again = [{}, {"id": call_id}, {"id": ""}, {"id": call_id, "name": name}, {"id": "other"}][chance.below(5)]
        first = call_delta(index, pieces[0], id=call_id, name=name, type="function")
        queues.append([first, *[call_delta(index, piece, **again) for piece in pieces[1:]]])
    if text:
        queues.append([{"content": piece} for piece in (text[:3], text[3:]) if piece])
    deltas, begun = [], 0
    while any(queues):
        # A call begins after those before it, as with every provider seen.
        ready = [queue for at, queue in enumerate(queues) if queue and (at <= begun or at >= len(calls))]
        queue = ready[chance.below(len(ready))]
        if begun < len(calls) and queue is queues[begun]:
            begun += 1
        deltas.append(queue.pop(0))
    return deltas


@pytest.mark.slow
@settings(deadline=None)
@given(
    given=st.lists(ARGUMENTS, min_size=1, max_size=4),
    text=st.text(max_size=12),
    drawn=st.lists(st.binary(min_size=40, max_size=80), min_size=10, max_size=10),
)
def test_a_thousand_streams_of_mixed_calls_are_put_together_as_they_were_meant(
    given: list[Json], text: str, drawn: list[bytes]
) -> None:
    for source in drawn:
        chance = Entropy(source)
        ascii_only = chance.below(2) == 0
        calls = [
            (f"call_{number}", f"tool_{number}", json.dumps(arguments, ensure_ascii=ascii_only))
            for number, arguments in enumerate(given)
        ]
        check_mixed(calls, text, chance)


def check_mixed(calls: list[tuple[str, str, str]], text: str, chance: Entropy) -> None:
    deltas = mixed(calls, text, chance)
    events = [*map(chat_delta, deltas), chat_delta({}, "tool_calls"), USAGE_CHUNK, END_EVENT]
    at_once = to_messages().take(events)
    translator, in_batches = to_messages(), []
    while events:
        size = 1 + chance.below(5)
        in_batches += translator.take(events[:size])
        events = events[size:]
    folded = fold_messages(at_once)

    assert at_once == in_batches
    assert calls == calls_in(at_once)
    assert text == "".join(block["text"] for block in folded["content"] if block["type"] == "text")
    assert "tool_use" == folded["stop_reason"]
    assert USED == folded["usage"]


@pytest.mark.slow
@settings(deadline=None)
@given(
    calls=st.lists(st.tuples(st.sampled_from("fgh"), ARGUMENTS), min_size=1, max_size=4),
    content=st.none() | st.text(),
    thinking=st.text(),
    style=st.sampled_from(["index", "no index", "used index", "no id", "id by id"]),
)
def test_a_stream_put_together_is_the_whole_reply_in_every_style(
    calls: list[tuple[str, Json]], content: str | None, thinking: str, style: str
) -> None:
    written = [
        {"id": None if style == "no id" else f"id_{n}", "function": {"name": name, "arguments": json.dumps(given)}}
        for n, (name, given) in enumerate(calls)
    ]
    deltas: list[Json] = [{"reasoning_content": thinking}, {"content": content}]
    for n, call in enumerate(written):
        text = call["function"]["arguments"]
        index = {"index": n, "no id": n, "used index": 0, "id by id": n * 2}.get(style)
        again = {"id": call["id"]} if style == "id by id" else {}
        deltas.append(call_delta(index, "", id=call["id"], name=call["function"]["name"]))
        deltas.append(call_delta(index, text[:2], **again))
        deltas.append(call_delta(None if style == "id by id" else index, text[2:], **again))
    events = [*map(chat_delta, deltas), chat_delta({}, "tool_calls"), USAGE_CHUNK]
    folded = fold_messages(as_messages(events))
    for block in folded["content"]:
        if block["type"] == "tool_use":
            del block["text"]

    said = {"content": content, "reasoning_content": thinking, "tool_calls": written}
    assert translated(whole(said, "tool_calls")) == folded


def test_a_reply_of_messages_comes_back_from_chat_as_it_was() -> None:
    source = as_messages(
        [
            chat_delta({"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}),
            chat_delta({"content": "x"}),
            chat_delta(call_delta(0, "{}", id="c", name="f")),
            chat_delta({}, "tool_calls"),
            USAGE_CHUNK,
        ]
    )[:-1]

    assert fold_messages(source) == fold_messages(as_messages(as_chat(source)[:-1]))


def test_bytes_that_are_no_text_cost_their_event_only() -> None:
    begins = b'{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"a":"\xff"}}}]}}'
    bad = Event(EventKind.CHUNK, b'data: {"choices":[%b]}\n\n' % begins)
    events = as_messages([chat_delta({"content": "x"}), bad, chat_delta({}, "stop")])

    assert ["text"] == [block["type"] for block in fold_messages(events)["content"]]


def test_half_a_surrogate_pair_passes_as_it_came() -> None:
    raws = [b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % half for half in (b"\\ud83d", b"\\ude00")]
    said = b"".join([event.raw for event in to_messages().take([Event(EventKind.CHUNK, raw) for raw in raws])])

    assert b'"text":"\\ud83d"' in said
    assert b'"text":"\\ude00"' in said


def test_half_a_pair_in_the_arguments_of_a_whole_reply_passes_too() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a":"\ud83d"}'}}
    (event,) = to_messages().take([Event(EventKind.COMPLETE, json.dumps(whole({"tool_calls": [call]})).encode())])

    assert b'"input":{"a":"\\ud83d"}' in event.raw


THOUGHT_PARTS: list[Json] = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
    {"type": "text", "text": "3"},
]


def test_a_content_in_parts_is_said_part_by_part() -> None:
    """As Mistral's reasoning models write theirs."""
    found = translated(whole({"content": THOUGHT_PARTS}))

    assert [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "3"}] == found["content"]


def test_a_stream_of_contents_in_parts_is_one_thought_and_one_text() -> None:
    deltas = [{"content": THOUGHT_PARTS[:1]}, {"content": THOUGHT_PARTS}, {"content": "91"}]
    found = fold_messages(as_messages([*[chat_delta(delta) for delta in deltas], chat_delta({}, "stop")]))

    assert ["hmhm", "391"] == [block.get("thinking") or block["text"] for block in found["content"]]


@pytest.mark.parametrize("later", [None, 0])
def test_calls_that_are_numbered_late_or_never_keep_their_own_arguments(later: int | None) -> None:
    """As Moonshot writes them: by their place in the delta, or by an index that comes with the arguments."""
    opened = [{"id": f"call_{name}", "function": {"name": name, "arguments": ""}} for name in ("f", "g")]
    pieces: list[Json] = [{"function": {"arguments": '{"a":0}'}}, {"function": {"arguments": '{"a":1}'}}]
    if later is not None:
        pieces = [{**piece, "index": at} for at, piece in enumerate(pieces)][::-1]
    deltas = [{"tool_calls": opened}, {"tool_calls": pieces}]
    found = fold_messages(as_messages([*[chat_delta(delta) for delta in deltas], chat_delta({}, "tool_calls")]))

    assert [("f", {"a": 0}), ("g", {"a": 1})] == [(block["name"], block["input"]) for block in found["content"]]
