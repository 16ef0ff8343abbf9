"""Put a thought beside the tool calls that others made, for providers that refuse calls without one.

DeepSeek and Kimi want `reasoning_content` back with every call while their models think. A call that another provider
made has none that they may see, so it gets the least that both take: Kimi refuses an empty text.
"""

from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import NULL, UNREADABLE, encode, present
from router.domain.dialects.request import Request

_THOUGHT: Final = "reasoning_content"
_LEAST: Final = Raw(b'" "')
_ASSISTANT: Final = Raw(b'"assistant"')
_messages: Final = msgspec.json.Decoder(list[dict[str, Raw]])


def with_thoughts(request: Request) -> Request:
    """Return a chat request in which every message with tool calls has a thought; itself if it has that already.

    What cannot be read is left as it is: its provider will say what is wrong with it.
    """
    before = request.fields.get("messages", NULL)
    if b'"tool_calls"' not in bytes(before):
        return request
    try:
        messages = _messages.decode(before)
    except UNREADABLE:
        return request
    lacking = [message for message in messages if _is_call(message) and present(message, _THOUGHT) is None]
    if not lacking:
        return request
    for message in lacking:
        message[_THOUGHT] = _LEAST
    return msgspec.structs.replace(request, fields={**request.fields, "messages": encode(messages)})


def _is_call(message: dict[str, Raw]) -> bool:
    return message.get("role") == _ASSISTANT and present(message, "tool_calls") is not None
