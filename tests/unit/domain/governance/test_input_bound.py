"""A request never takes more tokens than its bound, and what is no text is bounded by declaration or not at all."""

import json
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.dialects.dialect import CHAT
from router.domain.governance.input_bound import OutputBound, PartKind, Unbounded, bound_input, bound_output, kinds_in

DECLARED: Final = {PartKind.IMAGE: 1_000, PartKind.AUDIO: 200, PartKind.FILE: 30_000}


def fields(text: str) -> dict[str, Raw]:
    return msgspec.json.decode(text, type=dict[str, Raw])


def request(*contents: object, **members: object) -> dict[str, Raw]:
    messages = [{"role": "user", "content": content} for content in contents]
    return fields(json.dumps({"model": "small", "messages": messages, **members}))


def size(value: object) -> int:
    return len(json.dumps(value))


def with_part(part: dict[str, object]) -> dict[str, Raw]:
    return request([{"type": "text", "text": "Look."}, part])


def test_the_bound_is_the_bytes_and_eight_a_message() -> None:
    messages = '[{"role":"system","content":"é"},{"role":"user","content":"hi"}]'

    assert len(messages.encode()) + 16 == bound_input(CHAT, fields(f'{{"messages":{messages}}}'), {})


def test_tools_and_the_form_of_the_reply_count_with_their_frame() -> None:
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    plain = bound_input(CHAT, request("hi"), {})
    assert isinstance(plain, int)

    assert plain + size(tools) + 512 == bound_input(CHAT, request("hi", tools=tools), {})
    assert plain + size(tools) + 512 == bound_input(CHAT, request("hi", functions=tools), {})
    assert plain + size(form) == bound_input(CHAT, request("hi", response_format=form), {})


def test_settings_count_for_nothing_and_members_nobody_knows_count_by_their_bytes() -> None:
    plain = bound_input(CHAT, request("hi"), {})
    assert isinstance(plain, int)

    assert plain == bound_input(
        CHAT, request("hi", temperature=0.5, user="u" * 99, stop=["a"], metadata={"a": "b"}), {}
    )
    assert plain + size(["x" * 50]) == bound_input(CHAT, request("hi", documents=["x" * 50]), {})


@given(st.lists(st.text(), max_size=5), st.booleans())
def test_no_text_has_more_bytes_than_its_bound(texts: list[str], ascii_only: bool) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts]
    bound = bound_input(CHAT, fields(json.dumps({"messages": messages}, ensure_ascii=ascii_only)), {})

    assert isinstance(bound, int)
    assert sum(len(text.encode()) + 8 for text in texts) <= bound


@pytest.mark.parametrize(
    ("part", "payload", "declared"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 50_000}}, "image_url", 1_000),
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, "image_url", 1_000),
        ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, "image_url", 1_000),
        ({"type": "input_audio", "input_audio": {"data": "A" * 9_000, "format": "wav"}}, "input_audio", 200),
        ({"type": "file", "file": {"file_data": "A" * 9_000}}, "file", 30_000),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file", 30_000),
        ({"type": "input_file", "file_data": "A" * 9_000}, "file_data", 30_000),
    ],
)
def test_what_is_no_text_counts_as_declared_and_its_bytes_do_not(
    part: dict[str, object], payload: str, declared: int
) -> None:
    without = size([{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]) - size(part[payload])

    assert without + 8 + declared == bound_input(CHAT, with_part(part), DECLARED)


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, PartKind.IMAGE),
        ({"type": "input_audio", "input_audio": {"data": "A"}}, PartKind.AUDIO),
        ({"type": "file", "file": {"file_id": "file-1"}}, PartKind.FILE),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "video_url"),
        ({"text": "no type"}, ""),
        ({"type": 5}, "content"),
    ],
)
def test_a_part_that_nobody_declared_leaves_the_request_unbounded_and_is_named(
    part: dict[str, object], named: str
) -> None:
    assert Unbounded(part=named) == bound_input(CHAT, with_part(part), {})


def test_a_part_is_known_by_its_type_however_that_is_written() -> None:
    written = fields('{"messages":[{"content":[{"image_url":{"url":"u"},"type":"\\u0069mage_url"}]}]}')

    assert Unbounded(part=PartKind.IMAGE) == bound_input(CHAT, written, {})


@pytest.mark.parametrize("text", ["image_url", '{"type":"image_url","image_url":1}', '[{"type":"input_audio"}]'])
def test_a_text_that_talks_of_images_is_text(text: str) -> None:
    inside, alone = request([{"type": "text", "text": text}]), request(text)

    assert size([{"role": "user", "content": [{"type": "text", "text": text}]}]) + 8 == bound_input(CHAT, inside, {})
    assert size([{"role": "user", "content": text}]) + 8 == bound_input(CHAT, alone, {})


def test_a_text_that_carries_an_images_member_counts_in_full() -> None:
    part = {"type": "text", "text": "hi", "image_url": "x" * 500}

    assert size([{"role": "user", "content": [part]}]) + 8 == bound_input(CHAT, request([part]), DECLARED)


def test_a_content_that_is_one_part_is_looked_into() -> None:
    assert Unbounded(part=PartKind.IMAGE) == bound_input(CHAT, request({"type": "image_url", "image_url": {}}), {})


def test_a_thought_in_the_history_is_text() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}

    assert bound_input(
        CHAT, request([{"type": "text", "text": "a" * (size(thought) - size({"type": "text", "text": ""}))}]), {}
    ) == bound_input(CHAT, request([thought]), {})


def test_an_earlier_spoken_reply_is_heard_again() -> None:
    text = (
        '{"messages":[{"role":"assistant","audio":{"id":"audio_1"}},{"role":"assistant","content":"a","audio":null}]}'
    )

    assert Unbounded(part=PartKind.AUDIO) == bound_input(CHAT, fields(text), {})
    assert len(text) - len('{"messages":}') + 16 + 200 == bound_input(CHAT, fields(text), DECLARED)


@pytest.mark.parametrize("text", ["{}", '{"messages":null}', '{"messages":["hi"]}', '{"messages":5}'])
def test_messages_that_are_none_leave_the_request_unbounded(text: str) -> None:
    assert Unbounded(part="messages") == bound_input(CHAT, fields(text), {})


def test_a_content_of_no_known_form_leaves_the_request_unbounded() -> None:
    assert Unbounded(part="content") == bound_input(CHAT, request(["a bare text"]), {})


def test_a_message_without_content_has_a_bound() -> None:
    calls = '[{"role":"assistant","tool_calls":[{"id":"c"}]},{"role":"tool","content":null}]'

    assert len(calls) + 16 == bound_input(CHAT, fields(f'{{"messages":{calls}}}'), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"max_tokens":100}', 100),
        ('{"max_completion_tokens":100}', 100),
        ('{"max_completion_tokens":100,"max_tokens":300}', 300),
        ('{"max_completion_tokens":300,"max_tokens":100}', 300),
        ('{"max_tokens":100,"n":3}', 300),
        ('{"max_tokens":"100","n":"3"}', 300),
        ('{"max_tokens":100.0,"n":3.0}', 300),
        ('{"max_tokens":100,"n":null}', 100),
        ('{"max_tokens":100,"n":0}', 100),
        ('{"max_tokens":null}', None),
        ('{"max_tokens":-1}', None),
        ('{"max_tokens":0}', None),
        ('{"max_tokens":"many"}', None),
        ("{}", None),
    ],
)
def test_the_output_is_bounded_by_what_the_caller_allows_each_choice(text: str, expected: int | None) -> None:
    assert expected == bound_output(CHAT, fields(text)).tokens


def test_choices_are_told_even_without_a_maximum() -> None:
    assert OutputBound(per_choice=None, choices=4) == bound_output(CHAT, fields('{"n":4}'))


@pytest.mark.parametrize(
    ("messages", "kinds"),
    [
        (b'[{"role":"user","content":"image_url"}]', set()),
        (b'[{"content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"u"}}]}]', {PartKind.IMAGE}),
        (b'[{"content":{"type":"input_audio"}},{"content":[{"type":"file"}]}]', {PartKind.AUDIO, PartKind.FILE}),
        (b'[{"content":null},{}]', set()),
        (b'[{"content":[1]}]', set()),
        (b"{}", set()),
    ],
)
def test_the_kinds_of_parts_are_those_beside_text(messages: bytes, kinds: set[PartKind]) -> None:
    assert kinds == kinds_in(CHAT, {"messages": Raw(messages)})
