import json

import pytest
from msgspec import Raw

from router.domain.dialects.dialect import RESPONSES
from router.domain.dialects.scoped import for_another_provider
from tests.support.asked import asked

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"signature": 1}'}}
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "done"}
ASK = {"role": "user", "content": 'what is a "thinking" "signature"?'}


def cleaned(*messages: object) -> object:
    return json.loads(
        bytes(for_another_provider(asked({"messages": Raw(json.dumps(messages).encode())})).fields["messages"])
    )


@pytest.mark.parametrize(
    ("scoped", "plain"),
    [
        ({"thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}]}, {}),
        ({"reasoning_details": [{"type": "reasoning.encrypted"}], "reasoning": "r"}, {}),
        ({"reasoning_content": "r"}, {}),
        ({"provider_specific_fields": {"x": 1}}, {}),
        (
            {"tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "s"}}}]},
            {"tool_calls": [CALL]},
        ),
        (
            {"tool_calls": [{**CALL, "function": {**CALL["function"], "thought_signature": "s"}}]},  # type: ignore[dict-item]
            {"tool_calls": [CALL]},
        ),
    ],
)
def test_what_is_scoped_goes_and_all_else_stays(scoped: dict[str, object], plain: dict[str, object]) -> None:
    said = {"role": "assistant", "content": "x"}

    assert [ASK, said | plain, ANSWER] == cleaned(ASK, said | scoped, ANSWER)


def test_thoughts_among_the_parts_go() -> None:
    thought = {"type": "thinking", "thinking": "t", "signature": "s"}
    text = {"type": "text", "text": "x"}
    hidden = {"type": "redacted_thinking", "data": "d"}
    found = cleaned(
        {"role": "assistant", "content": [thought, text]},
        {"role": "assistant", "content": [hidden], "tool_calls": [CALL]},
        {"role": "assistant", "content": [hidden]},
    )

    assert [
        {"role": "assistant", "content": [text]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": ""},
    ] == found


@pytest.mark.parametrize("text", [b'[{"role":"user","content":"hi"}]', b'[1,"signature"]', b'{"signature":1}', b"[}"])
def test_what_is_not_scoped_or_cannot_be_read_keeps_its_bytes(text: bytes) -> None:
    assert text == bytes(for_another_provider(asked({"messages": Raw(text)})).fields["messages"])


def test_reasoning_items_and_signed_blocks_go_in_the_other_dialects() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "encrypted_content": "x", "summary": []}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    raw = Raw(json.dumps([ASK, thought, call]).encode())
    sent = for_another_provider(asked({"input": raw}, grammar=RESPONSES)).fields["input"]

    assert [ASK, call] == json.loads(bytes(sent))


@pytest.mark.parametrize("fields", [{"input": Raw(b'"a \\"reasoning\\" text"')}, {}])
def test_a_request_without_scoped_parts_is_itself(fields: dict[str, Raw]) -> None:
    request = asked(fields, grammar=RESPONSES)

    assert request is for_another_provider(request)
