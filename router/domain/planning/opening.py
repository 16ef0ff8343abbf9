"""Find a conversation's opening in the text of its messages: all up to the first user's, and whether more was said.

Each turn sends the whole conversation again, and only its beginning says which one it is. So what follows the opening
is not read: the text is searched for how serializers write messages, in which no string can be mistaken for one, as a
quote within it is escaped. What is written in another way is read message by message.
"""

from typing import Final

import msgspec
from msgspec import Raw

HEAD_BYTES: Final = 8_192
"""Of longer messages so much is looked at first: mostly the opening and the first answer are there."""
TRIES_MAX: Final = 8
"""Ends of objects that are taken for the end of the first user's message; parts of a content end alike."""


Opening = tuple[bytes, bool]
"""The text of its messages, and whether an assistant has said something since."""


class _Message(msgspec.Struct, gc=False):
    role: str = ""


_COMPACT: Final = (b'{"role":"user"', b',"content":"', b'},{"', b'"role":"assistant"')
_SPACED: Final = (b'{"role": "user"', b', "content": "', b'}, {"', b'"role": "assistant"')
"""How a user's message begins, how it goes on that is a text, what is between two messages, and how an assistant's is
known."""
_BACKSLASH: Final = 0x5C
_messages: Final = msgspec.json.Decoder(list[Raw])
_roles: Final = msgspec.json.Decoder(list[_Message])
_message: Final = msgspec.json.Decoder(_Message)


def opening_of(messages: Raw) -> Opening | None:
    """Return the opening, which a text alone is; None if there is no user's message or they cannot be read."""
    if len(messages) > HEAD_BYTES:
        found = _find(bytes(memoryview(messages)[:HEAD_BYTES]))
        if found is not None and found[1]:  # what follows an answer changes nothing
            return found
    text = bytes(messages)
    if text[:1] == b'"':
        return text, False  # one text is what a user says
    return _find(text) or _read(text)


def _find(text: bytes) -> Opening | None:
    """Return the opening of messages as serializers write them; None: it must be read."""
    colon = text.find(b":")
    user, says, between, assistant = _SPACED if text[colon + 1 : colon + 2] == b" " else _COMPACT
    begin = text.find(user)
    end = 0 if begin < 0 else _end_of_plain(text, begin + len(user), says) or _end(text, begin, between)
    if end:
        if text.find(assistant, end) >= 0:
            return text[1:end], True
        if text[end:] == b"]":
            return text[1:end], False
    return None


def _end_of_plain(text: bytes, at: int, says: bytes) -> int:
    """Return where a message ends of which only a text is left, without a quote in it; 0: it is another one.

    A search for one character is so much quicker than one for several, or than reading, that it comes first.
    """
    if not text.startswith(says, at):
        return 0
    end = text.find(b'"', at + len(says))
    return end + 2 if text.startswith(b'"}', end) and text[end - 1] != _BACKSLASH else 0


def _end(text: bytes, begin: int, between: bytes) -> int:
    """Return where a message ends that begins there: where all of it can be read; 0: nowhere."""
    at = begin
    for _ in range(TRIES_MAX):
        at = text.find(between, at) + 1
        end = at or text.rfind(b"]")
        try:
            _message.decode(memoryview(text)[begin:end])
        except (msgspec.DecodeError, RecursionError):
            if not at:
                return 0
            continue
        return end
    return 0


def _read(text: bytes) -> Opening | None:
    try:
        raws = _messages.decode(text)
        roles = [one.role for one in _roles.decode(text)]
    except (msgspec.DecodeError, RecursionError):
        return None
    if "user" not in roles:
        return None
    size = roles.index("user") + 1
    return b",".join(map(bytes, raws[:size])), "assistant" in roles[size:]
