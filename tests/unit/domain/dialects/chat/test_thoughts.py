import json

import pytest

from router.domain.dialects.chat.thoughts import with_thoughts
from router.domain.dialects.dialect import CHAT
from router.domain.dialects.request import Request, read_request

CALLS = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def asked(messages: object) -> Request:
    request = read_request(CHAT, json.dumps({"model": "m", "messages": messages}).encode())
    assert isinstance(request, Request)
    return request


def test_calls_without_a_thought_get_the_least_there_is() -> None:
    """T18: the required reasoning field is present."""
    said = [
        {"role": "user", "content": "x", "tool_calls": CALLS},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "reasoning_content": None, "tool_calls": CALLS},
        {"role": "assistant", "reasoning_content": "hm", "tool_calls": CALLS},
        {"role": "assistant", "content": "y"},
    ]
    found = json.loads(bytes(with_thoughts(asked(said)).fields["messages"]))

    assert [None, " ", " ", "hm", None] == [message.get("reasoning_content") for message in found]
    without = [{name: one for name, one in message.items() if name != "reasoning_content"} for message in said]
    assert without == [{name: one for name, one in each.items() if name != "reasoning_content"} for each in found]


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "user", "content": "x"}],
        [{"role": "assistant", "reasoning_content": "hm", "tool_calls": CALLS}],
        ['"tool_calls"'],
    ],
)
def test_any_other_request_is_left_as_it_is(messages: object) -> None:
    request = asked(messages)

    assert request is with_thoughts(request)
