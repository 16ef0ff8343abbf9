import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.responses.input import messages_of

NULL = Raw(b"null")
ASK = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "brief"}],
    "content": [{"type": "reasoning_text", "text": "h\u00e9 \U0001f600"}, {"type": "reasoning_text", "text": "m"}],
    "encrypted_content": "secret",
}
SAID = {
    "type": "message",
    "id": "msg_1",
    "status": "completed",
    "phase": "commentary",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "let me look", "annotations": [], "logprobs": []}],
}


def call(number: int) -> dict[str, object]:
    return {
        "type": "function_call",
        "id": f"fc_{number}",
        "status": "completed",
        "call_id": f"call_{number}",
        "name": "f",
        "arguments": f'{{"n": {number}}}',
    }


def answer(number: int, output: object = "ok") -> dict[str, object]:
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": output}


def chat_call(number: int) -> dict[str, object]:
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "f", "arguments": f'{{"n": {number}}}'},
    }


def chat_answer(number: int, content: object = "ok") -> dict[str, object]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": content}


def messages(input_: object, instructions: Raw = NULL, *, drop: bool = False) -> tuple[object, list[str]]:
    losses = Losses(dialect="Chat Completions", drop=drop)
    written = messages_of(instructions, Raw(json.dumps(input_).encode()), losses)
    return json.loads(bytes(written)), list(losses.names)


def refused(input_: object) -> str:
    with pytest.raises(Unsayable) as raised:
        messages(input_)
    return raised.value.param


def test_a_string_is_what_the_user_says_and_instructions_come_first() -> None:
    assert ([{"role": "user", "content": "hi"}], []) == messages("hi")
    assert [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}] == messages(
        "hi", Raw(b'"be brief"')
    )[0]


def test_plain_text_becomes_a_string_in_whatever_form_it_came() -> None:
    found, _ = messages(
        [
            {"role": "system", "content": "s"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
            ASK,
            {"role": "assistant", "content": "a"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        ]
    )

    assert [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
    ] == found


def test_one_turn_of_the_model_is_one_message_and_every_answer_follows_its_call() -> None:
    found, _ = messages([ASK, THOUGHT, SAID, call(1), call(2), answer(1), answer(2), call(3), answer(3), SAID])

    assert [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": "let me look",
            "reasoning_content": "h\u00e9 \U0001f600m",
            "tool_calls": [chat_call(1), chat_call(2)],
        },
        chat_answer(1),
        chat_answer(2),
        {"role": "assistant", "content": None, "tool_calls": [chat_call(3)]},
        chat_answer(3),
        {"role": "assistant", "content": "let me look"},
    ] == found


def test_text_around_calls_stays_with_them() -> None:
    after = {"role": "assistant", "content": "and now?"}

    assert [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "let me look"}, {"type": "text", "text": "and now?"}],
            "tool_calls": [chat_call(1)],
        },
        chat_answer(1),
    ] == messages([SAID, call(1), after, answer(1)])[0]


def test_what_only_the_provider_can_read_goes_silently() -> None:
    sealed = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "secret"}
    found, dropped = messages([ASK, sealed, SAID, sealed, ASK])

    assert [] == dropped
    assert [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "let me look"},
        {"role": "user", "content": "weather?"},
    ] == found


def test_arguments_keep_their_bytes() -> None:
    arguments = b'"{\\"b\\": 123456789012345678901234567890, \\"a\\":\\"\\\\u00e9\\\\/\\"}"'
    item = b'[{"type":"function_call","call_id":"c","name":"f","arguments":%b}]' % arguments
    found = messages_of(NULL, Raw(item), Losses(dialect="x", drop=False))

    assert b'"arguments":%b' % arguments in bytes(found)


def test_images_files_and_sound_find_their_place() -> None:
    cached = {"mode": "explicit"}
    parts = [
        {"type": "input_text", "text": "see", "prompt_cache_breakpoint": cached},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "original"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf", "detail": "auto"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    found, _ = messages([{"role": "user", "content": parts}])

    assert [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see", "prompt_cache_breakpoint": cached},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        }
    ] == found


def test_a_text_that_ends_the_cached_prompt_stays_a_part() -> None:
    cached = {"prompt_cache_breakpoint": {"mode": "explicit"}}

    assert [{"role": "user", "content": [{"type": "text", "text": "x", **cached}]}] == messages(
        [{"role": "user", "content": [{"type": "input_text", "text": "x", **cached}]}]
    )[0]


def test_an_image_in_a_tools_answer_stays_there() -> None:
    output = [{"type": "input_text", "text": "shot"}, {"type": "input_image", "image_url": "data:x"}]

    assert [
        {"role": "assistant", "content": None, "tool_calls": [chat_call(1)]},
        chat_answer(1, [{"type": "text", "text": "shot"}, {"type": "image_url", "image_url": {"url": "data:x"}}]),
    ] == messages([call(1), answer(1, output)])[0]


def test_a_refusal_is_said_as_chat_replies_say_it() -> None:
    refusal = {"type": "refusal", "refusal": "no"}
    text = {"type": "output_text", "text": "a"}

    assert [{"role": "assistant", "content": None, "refusal": "no"}] == messages(
        [{"role": "assistant", "content": [refusal]}]
    )[0]
    assert [{"role": "assistant", "content": [{"type": "text", "text": "a"}, refusal]}] == messages(
        [{"role": "assistant", "content": [text, refusal]}]
    )[0]


@pytest.mark.parametrize(
    ("item", "param", "left"),
    [
        ({"type": "web_search_call", "id": "ws"}, "input[1].type", None),
        ({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}, "input[1].type", None),
        ({"role": "critic", "content": "x"}, "input[1].role", None),
        ({"role": "user", "content": "x", "future": 1}, "input[1].future", {"role": "user", "content": "x"}),
        ({**call(1), "namespace": "n"}, "input[1].namespace", ...),
        ({**answer(1), "caller": {"type": "program"}}, "input[1].caller", chat_answer(1)),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            "input[1].content[0].file_id",
            {"role": "user", "content": ""},
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_url": "https://x"}]},
            "input[1].content[0].file_url",
            {"role": "user", "content": ""},
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_id": "f", "detail": "high"}]},
            "input[1].content[0].detail",
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        ),
        (
            {"role": "user", "content": [{"type": "input_video"}, {"type": "input_text", "text": "x"}]},
            "input[1].content[0].type",
            {"role": "user", "content": "x"},
        ),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "x", "y": 1}]},
            "input[1].content[0].y",
            {"role": "user", "content": "x"},
        ),
    ],
)
def test_what_a_chat_cannot_hold_is_named_or_left_out(item: object, param: str, left: object) -> None:
    assert param == refused([ASK, item])

    found, dropped = messages([ASK, item], drop=True)
    assert [param] == dropped
    assert isinstance(found, list)
    if left is ...:
        left = {"role": "assistant", "content": None, "tool_calls": [chat_call(1)]}
    assert ([] if left is None else [left]) == found[1:]


def test_a_reference_to_a_stored_item_is_refused_even_from_who_drops() -> None:
    with pytest.raises(Unsayable, match="stored"):
        messages([ASK, {"type": "item_reference", "id": "msg_1"}], drop=True)


@pytest.mark.parametrize(
    ("input_", "param"),
    [
        (None, "input"),
        (7, "input"),
        ([7], "input[0]"),
        ([{"role": "user"}], "input[0].content"),
        ([{"content": "x"}], "input[0].role"),
        ([{"type": 7}], "input[0].type"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0].image_url"),
        ([{"role": "user", "content": [{"type": "input_file"}]}], "input[0].content[0]"),
        ([{"type": "function_call", "call_id": "c", "name": "f"}], "input[0].arguments"),
        ([{"type": "function_call_output", "output": "x"}], "input[0].call_id"),
        ([{"type": "function_call_output", "call_id": "c"}], "input[0].output"),
        ([{"type": "reasoning", "content": 7}], "input[0].content"),
    ],
)
def test_what_is_no_input_is_named_even_to_who_drops(input_: object, param: str) -> None:
    for drop in (False, True):
        with pytest.raises(Unsayable) as raised:
            messages(input_, drop=drop)
        assert param == raised.value.param


def test_instructions_are_a_string() -> None:
    with pytest.raises(Unsayable, match="instructions"):
        messages("hi", Raw(b"[]"))
