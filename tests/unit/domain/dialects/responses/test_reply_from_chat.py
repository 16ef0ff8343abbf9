import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from router.domain.dialects.responses import reply_from_chat as responses_reply_from_chat
from router.domain.dialects.responses.reply_from_chat import ITEM_BYTES, ChatToResponses
from router.domain.stream import END_EVENT, ERROR_EVENT, KEEP_ALIVE, Event, EventKind
from tests.support.responses import (
    chance_of,
    chat_chunk,
    complete,
    ended,
    grown,
    pieces,
    raws,
    response_of,
    through,
    told,
)

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
SAID = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}


def translator(**request: object) -> ChatToResponses:
    return ChatToResponses(reply_id="resp_1", created_s=7, request=raws({"model": "m"} | request))


def call(index: int | None, id_: str | None, name: str | None, arguments: str | None) -> dict[str, object]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    said: dict[str, object] = {"type": "function", "function": function}
    if index is not None:
        said["index"] = index
    return said if id_ is None else said | {"id": id_}


def calls_of(response: Response) -> list[tuple[str, str, str]]:
    return [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"]


def streamed(*events: Event) -> Response:
    return response_of(through(translator(), ended(*events)))


def whole(message: object, finish: str | None = "stop", **members: object) -> Response:
    body = {
        "id": "chatcmpl-up",
        "object": "chat.completion",
        "model": "up-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": USAGE,
    }
    [event] = translator().take([complete(body | members)])
    assert EventKind.COMPLETE is event.kind
    return Response.model_validate_json(event.raw)


def test_a_stream_of_text_has_every_event_that_the_sdk_needs() -> None:
    events = through(
        translator(),
        ended(
            chat_chunk({"role": "assistant", "content": ""}),
            chat_chunk({"content": "He"}),
            chat_chunk({"content": "llo"}),
            chat_chunk({}, "stop"),
            chat_chunk(None, usage=USAGE),
        ),
    )

    assert [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ] == [event["type"] for event in told(events)]
    response = response_of(events)
    assert ("resp_1", 7, "completed", "up-1", "Hello") == (
        response.id,
        response.created_at,
        response.status,
        response.model,
        response.output_text,
    )
    assert response.usage is not None
    assert SAID == response.usage.model_dump(include=set(SAID))
    assert END_EVENT is events[-1]


def test_thoughts_text_and_calls_are_items_in_their_order() -> None:
    response = streamed(
        chat_chunk({"reasoning_content": "h"}),
        chat_chunk({"reasoning_content": "m"}),
        chat_chunk({"content": "look"}),
        chat_chunk({"tool_calls": [call(0, "c1", "f", "")]}),
        chat_chunk({"tool_calls": [call(1, "c2", "g", "")]}),
        chat_chunk({"tool_calls": [call(0, None, None, '{"a":')]}),
        chat_chunk({"tool_calls": [call(1, None, None, "{}"), call(0, None, None, "1}")]}),
        chat_chunk({"content": ""}, "tool_calls"),
    )

    thought, message, *_ = response.output
    assert "reasoning" == thought.type
    assert thought.content is not None
    assert ["hm"] == [part.text for part in thought.content]
    assert "message" == message.type
    assert "look" == response.output_text
    assert [("c1", "f", '{"a":1}'), ("c2", "g", "{}")] == calls_of(response)
    assert "completed" == response.status


def test_thoughts_under_their_other_name_are_taken_once() -> None:
    response = streamed(
        chat_chunk({"reasoning": "h", "reasoning_content": "h"}), chat_chunk({"reasoning": "m"}, "stop")
    )

    [thought] = response.output
    assert "reasoning" == thought.type
    assert thought.content is not None
    assert "hm" == thought.content[0].text


def test_a_refusal_is_its_own_part() -> None:
    response = streamed(
        chat_chunk({"content": "a"}), chat_chunk({"refusal": "n"}), chat_chunk({"refusal": "o"}, "stop")
    )

    [message] = response.output
    assert "message" == message.type
    assert ["output_text", "refusal"] == [part.type for part in message.content]
    assert "no" == getattr(message.content[1], "refusal", None)


def test_text_that_comes_as_parts_is_text() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}, {"type": "text", "text": "a"}]
    plain = {"type": "thinking", "thinking": "m"}
    response = streamed(chat_chunk({"content": [plain]}), chat_chunk({"content": parts}), chat_chunk({}, "stop"))

    assert ["reasoning", "message"] == [item.type for item in response.output]
    assert "mh" == response.output[0].content[0].text  # type: ignore[union-attr, index]
    assert "a" == response.output_text


def test_text_after_a_call_is_an_item_after_it() -> None:
    response = streamed(
        chat_chunk({"content": "a"}),
        chat_chunk({"tool_calls": [call(0, "c1", "f", "{")]}),
        chat_chunk({"content": "b"}),
        chat_chunk({"tool_calls": [call(0, None, None, "}")]}),
        chat_chunk({}, "tool_calls"),
    )

    assert ["message", "function_call", "message"] == [item.type for item in response.output]
    assert [("c1", "f", "{}")] == calls_of(response)
    assert "ab" == response.output_text


def test_probabilities_go_with_their_text() -> None:
    token = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}
    chunk = chat_chunk(None, choices=[{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [token]}}])
    response = streamed(chunk, chunk, chat_chunk({}, "stop"))

    [message] = response.output
    assert "message" == message.type
    assert [token, token] == [one.model_dump() for one in message.content[0].logprobs or ()]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("finish", "status", "reason", "item"),
    [
        ("stop", "completed", None, "completed"),
        ("tool_calls", "completed", None, "completed"),
        ("function_call", "completed", None, "completed"),
        ("eos", "completed", None, "completed"),
        ("length", "incomplete", "max_output_tokens", "incomplete"),
        ("content_filter", "incomplete", "content_filter", "incomplete"),
    ],
)
def test_every_finish_has_its_end(finish: str, status: str, reason: str | None, item: str) -> None:
    for response in (
        streamed(chat_chunk({"content": "a"}), chat_chunk({}, finish)),
        whole({"role": "assistant", "content": "a"}, finish),
    ):
        details = response.incomplete_details
        assert (status, reason) == (response.status, details.reason if details else None)
        assert item == response.output[0].status  # type: ignore[union-attr]


def test_of_a_reply_that_was_cut_only_the_last_item_is_incomplete() -> None:
    response = streamed(
        chat_chunk({"content": "a"}),
        chat_chunk({"tool_calls": [call(0, "c1", "f", "{}"), call(1, "c2", "f", '{"a')]}),
        chat_chunk({}, "length"),
    )

    assert ["completed", "completed", "incomplete"] == [item.status for item in response.output]  # type: ignore[union-attr]
    assert "incomplete" == response.status


def test_a_stream_that_breaks_ends_no_item_and_no_reply() -> None:
    for last in ([], [ERROR_EVENT], [END_EVENT]):
        events = through(translator(), [chat_chunk({"tool_calls": [call(0, "c1", "f", "{}")]}), *last])

        kinds = [str(event["type"]) for event in told(events)]
        assert "response.function_call_arguments.delta" == kinds[-1]
        assert not any(kind.endswith(".done") for kind in kinds)
        assert last == events[len(events) - len(last) :]


def test_an_empty_finish_is_none() -> None:
    unfinished = through(translator(), ended(chat_chunk({"content": "a"}, "")))
    assert "response.output_text.delta" == told(unfinished)[-1]["type"]
    assert (
        "completed"
        == streamed(chat_chunk({"content": "a"}, ""), chat_chunk({}, "stop"), chat_chunk({}, "length")).status
    )


def test_comments_pass_and_what_is_no_chunk_says_nothing() -> None:
    odd = Event(EventKind.CHUNK, b"data: {oops\n\n")
    foreign = Event(EventKind.CHUNK, b'data: {"choices":7}\n\n')

    assert [KEEP_ALIVE] == translator().take([KEEP_ALIVE, odd, foreign])


def test_other_choices_are_not_mixed_in() -> None:
    other = chat_chunk(None, choices=[{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}])

    response = streamed(chat_chunk({"content": "a"}), other, chat_chunk({}, "stop"))
    assert ("a", "completed") == (response.output_text, response.status)


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "c1", "f", '{"a'), call(0, None, None, '":1}'), call(1, "c2", "g", "{}")],
        [call(0, "c1", "f", '{"a'), call(0, "c1", "f", '":1}'), call(1, "c2", "g", "{}")],
        [call(0, "c1", "f", '{"a":1}'), call(0, "c2", "g", "{}")],
        [call(None, "c1", "f", '{"a'), call(None, None, None, '":1}'), call(None, "c2", "g", "{}")],
        [call(None, "c1", "f", '{"a'), call(None, "c1", None, '":1}'), call(None, "c2", "g", "{}")],
        [call(0, "c1", "f", '{"a'), call(1, "c1", None, '":1}'), call(2, "c2", "g", "{}")],
        [call(0, "c1", "f", '{"a'), call(1, "", None, '":1}'), call(2, "c2", "g", "{}")],
        [call(0, "c1", None, '{"a'), call(0, None, "f", '":1}'), call(1, "c2", "g", "{}")],
        [call(5, "c1", "f", '{"a'), call(3, "c2", "g", "{"), call(5, "", "", '":1}'), call(3, None, "", "}")],
    ],
    ids=[
        "as it should be",
        "id and name again",
        "an index reused",
        "no index",
        "no index, id again",
        "an index counting pieces, id again",
        "an index counting pieces",
        "a late name",
        "interleaved",
    ],
)
def test_calls_are_told_apart_whatever_the_provider_leaves_out(pieces: list[dict[str, object]]) -> None:
    response = streamed(*(chat_chunk({"tool_calls": [piece]}) for piece in pieces), chat_chunk({}, "tool_calls"))

    assert [("c1", "f", '{"a":1}'), ("c2", "g", "{}")] == sorted(calls_of(response))


@pytest.mark.parametrize("numbers", [(None, None), (1, 0)], ids=["by place", "numbered later"])
def test_several_calls_of_one_delta_keep_their_own_arguments(numbers: tuple[int | None, int | None]) -> None:
    first, second = [call(None, "c1", "f", ""), call(None, "c2", "g", "")], ["{}", '{"a":1}']
    rest = [call(number, None, None, text) for number, text in zip(numbers, second, strict=True)]
    response = streamed(
        chat_chunk({"tool_calls": first}), chat_chunk({"tool_calls": rest}), chat_chunk({}, "tool_calls")
    )
    wanted = second if numbers == (None, None) else second[::-1]

    assert [("c1", "f", wanted[0]), ("c2", "g", wanted[1])] == calls_of(response)


@pytest.mark.parametrize("tier", ["on_demand", "", "standard", None, 3])
def test_a_tier_that_is_none_of_openais_is_not_told(tier: object) -> None:
    assert whole({"content": "a"}, service_tier=tier).service_tier is None


def test_calls_without_ids_get_their_own() -> None:
    for response in (
        streamed(
            chat_chunk({"tool_calls": [call(None, "", "f", "{}")]}),
            chat_chunk({"tool_calls": [call(None, None, "f", "{}")]}),
            chat_chunk({}, "tool_calls"),
        ),
        whole({"role": "assistant", "tool_calls": [call(None, "", "f", "{}"), call(None, None, "f", "{}")]}),
    ):
        assert [("call_1_0", "f", "{}"), ("call_1_1", "f", "{}")] == calls_of(response)


def test_two_whole_calls_with_one_id_stay_two() -> None:
    response = whole({"role": "assistant", "tool_calls": [call(None, "c", "f", "{}"), call(None, "c", "g", "{}")]})

    assert [("c", "f", "{}"), ("c", "g", "{}")] == calls_of(response)


def test_a_call_that_never_gets_a_name_is_not_lost() -> None:
    assert [("c1", "", "{}")] == calls_of(
        streamed(chat_chunk({"tool_calls": [call(0, "c1", None, "{}")]}), chat_chunk({}, "tool_calls"))
    )


def test_arguments_that_come_as_an_object_become_its_text() -> None:
    said = {"id": "c1", "function": {"name": "f", "arguments": {"a": "\u00e9"}}}

    [(_, _, arguments)] = calls_of(whole({"role": "assistant", "tool_calls": [said]}))
    assert {"a": "\u00e9"} == json.loads(arguments)


def test_arguments_cut_within_an_escape_keep_every_byte() -> None:
    cut = [b'"{\\"x\\":\\"\\\\u0"', b'"0e9 \\ud83d"', b'"\\ude00\\"}"']
    chunk = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,%b"function":{%b"arguments":%b}}]}}]}\n\n'
    events = [
        Event(EventKind.CHUNK, chunk % (b'"id":"c",' * (not at), b'"name":"f",' * (not at), piece))
        for at, piece in enumerate(cut)
    ]
    translated = through(translator(), ended(*events, chat_chunk({}, "tool_calls")))

    last = next(event.raw for event in translated if b"response.completed" in event.raw)
    assert b'"arguments":"{\\"x\\":\\"\\\\u00e9 \\ud83d\\ude00\\"}"' in last


def test_an_event_over_several_lines_stays_on_one() -> None:
    token = b'[{"token":"a",\ndata: "logprob":-1}]'
    raw = b'data: {"model":[1,\ndata: 2],"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":%b}}]}\n\n'
    raw %= token

    for event in translator(tools=[]).take([Event(EventKind.CHUNK, raw)]):
        assert 2 == event.raw.strip().count(b"\n") + 1


def test_a_reply_that_never_ends_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses_reply_from_chat, "KEPT_BYTES_MAX", 10 * ITEM_BYTES)
    thought, text = chat_chunk({"reasoning": "h"}), chat_chunk({"content": "a" * 100})
    calls = chat_chunk({"tool_calls": [call(None, None, "f", "")] * 11})
    long_call = [chat_chunk({"tool_calls": [call(0, "c", "f", "x" * 600)]})] * 9

    for events in ([text] * 47, [thought, text] * 6, [calls], long_call):
        with pytest.raises(ValueError, match="too long"):
            through(translator(), events)
    through(translator(), [text] * 46)


def test_a_whole_reply_is_a_response() -> None:
    said = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": "look",
        "refusal": None,
        "tool_calls": [call(None, "c1", "f", '{"a":1}'), call(None, "c2", "g", "{}")],
    }
    response = whole(said, "tool_calls", service_tier="flex")

    assert ["reasoning", "message", "function_call", "function_call"] == [item.type for item in response.output]
    assert [("c1", "f", '{"a":1}'), ("c2", "g", "{}")] == calls_of(response)
    assert ("completed", "up-1", "flex", "look") == (
        response.status,
        response.model,
        response.service_tier,
        response.output_text,
    )
    assert response.usage is not None
    assert SAID == response.usage.model_dump(include=set(SAID))


@pytest.mark.parametrize("body", [[], {}, {"choices": []}, {"choices": [{"index": 0}]}, {"choices": 7}, {"output": []}])
def test_what_is_no_chat_completion_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="The provider's reply"):
        translator().take([complete(body)])


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="The provider's reply"):
        translator().take([Event(EventKind.COMPLETE, b"<html>")])


def test_a_reply_without_a_model_has_the_callers() -> None:
    assert "m" == whole({"role": "assistant", "content": "a"}, model=None).model


ODD = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ["content", "type", "text", "thinking", "tool_calls", "function", "name", "arguments", "index", "id"],
                inner,
            ),
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(ODD)
def test_whatever_shape_a_chunk_has_the_stream_goes_on(delta: object) -> None:
    chunk = chat_chunk(None, choices=[{"index": 0, "delta": delta}])
    assert "completed" == streamed(chunk, chat_chunk({"content": "a"}), chat_chunk({}, "stop")).status


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
CALLS = st.lists(st.tuples(st.text("fgh", min_size=1, max_size=3), TEXT), max_size=4)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=8), st.text(max_size=20), CALLS, st.integers(0, 2**32))
def test_any_stream_cut_and_batched_anyhow_is_the_whole_reply(
    thought: str, text: str, calls: list[tuple[str, str]], seed: int
) -> None:
    chance = chance_of(seed)
    ids = [f"c{index}" for index in range(len(calls))]
    finish = "tool_calls" if calls else "stop"
    chunks = [chat_chunk({"reasoning_content": piece}) for piece in pieces(thought, chance)]
    chunks += [chat_chunk({"content": piece}) for piece in pieces(text, chance)]
    queues = []
    for index, (name, arguments) in enumerate(calls):
        chunks.append(chat_chunk({"tool_calls": [call(index, ids[index], name, "")]}))
        queues.append([chat_chunk({"tool_calls": [call(index, None, None, p)]}) for p in pieces(arguments, chance)])
    while any(queues):
        chunks.append(chance.choice([queue for queue in queues if queue]).pop(0))
    events = ended(*chunks, chat_chunk({}, finish), chat_chunk(None, usage=USAGE))

    batched = through(translator(), events, chance)
    assert through(translator(), events) == batched
    message = {
        "role": "assistant",
        "reasoning_content": thought,
        "content": text,
        "tool_calls": [call(None, ids[index], *said) for index, said in enumerate(calls)],
    }
    response = told(batched)[-1]["response"]
    assert whole(message, finish) == Response.model_validate(response)
    output = response["output"]  # type: ignore[index]
    assert grown(batched) == {
        item["id"]: item["arguments"] if "arguments" in item else item["content"][0]["text"] for item in output
    }
    if seed % 10 == 0:  # it takes the SDK ten times as long
        assert Response.model_validate(response) == response_of(batched)
