"""Put the system prompt and the turns of a Messages request into the messages of Chat Completions.

The answers of tools become messages of their own, in the order of the turn. A tool's message holds text only: an image
or a document in it moves into the user's message that follows, under a line that names the call.
`is_error`, `cache_control` and `thinking_blocks` are kept as litellm writes them, for whoever knows of these; OpenAI
and others refuse them. Thoughts without a signature once came from a provider of Chat Completions, and go back to it as
its `reasoning_content`: some want it with the calls that came of it.
"""

from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.parts import keep_hint, part_to_chat, text_block
from router.domain.dialects.raw_json import (
    NO_TEXT,
    NULL,
    TRUE,
    Fields,
    encode,
    is_text,
    joined,
    present,
    quoted,
    read_member,
    read_objects,
    read_type,
)

_MESSAGE: Final = frozenset({"role", "content"})
_ROLES: Final = {role: encode(role) for role in ("system", "user", "assistant", "tool")}
_TOOL_USE: Final = frozenset({"type", "id", "name", "input", "cache_control"})
_TOOL_USE_DEFAULTS: Final = {"caller": (b'{"type":"direct"}',)}
_TOOL_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
_FUNCTION: Final = encode("function")
_SEE_BELOW: Final = encode("(see the next message)")

Message = dict[str, Raw]


def history_to_chat(system: Raw | None, messages: Raw, losses: Losses) -> Raw:
    """Return `messages`. Raises `Unsayable`."""
    written: list[Message] = []
    if system is not None:
        content = _content(system, "system", losses)
        if content is not None:
            written.append({"role": _ROLES["system"], "content": content})
    for position, message in enumerate(read_objects(messages, "messages")):
        where = f"messages[{position}]"
        losses.lose_unknown(message, _MESSAGE, where)
        role = read_member(message, "role", where)
        content_at = f"{where}.content"
        raw = message.get("content", NULL)
        if role not in ("user", "assistant", "system"):
            raise Unsayable(f"{where}.role", f"`{role}` is not a role of Messages.")
        if is_text(raw):
            written.append({"role": _ROLES[role], "content": raw})
        elif role == "user":
            written.extend(_User(losses).messages(read_objects(raw, content_at), content_at))
        elif role == "assistant":
            written.append(_assistant(read_objects(raw, content_at), content_at, losses))
        else:
            said = _content(raw, content_at, losses)
            written.extend([] if said is None else [{"role": _ROLES[role], "content": said}])
    return encode(written)


def _content(raw: Raw, where: str, losses: Losses) -> Raw | None:
    """Write content that is text or blocks of it; None if it is empty."""
    if is_text(raw):
        return None if raw == NO_TEXT else raw
    parts = [
        part
        for position, block in enumerate(read_objects(raw, where))
        if (part := part_to_chat(block, f"{where}[{position}]", losses)) is not None
    ]
    return _short(parts) if parts else None


def _short(parts: list[Message]) -> Raw:
    """Write parts; a single text in the short form, which every provider takes."""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return parts[0]["text"]
    return encode(parts)


class _User:
    """One turn of the user on its way: answers of tools, and what is said between and after them."""

    __slots__ = ("_losses", "_moved", "_parts", "_written")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._written: list[Message] = []
        self._parts: list[Message] = []
        self._moved: list[Message] = []

    def messages(self, blocks: list[dict[str, Raw]], where: str) -> list[Message]:
        for position, block in enumerate(blocks):
            at = f"{where}[{position}]"
            kind = read_type(block, at)
            if kind == "tool_result":
                self._flush(answers_follow=True)
                self._answer(block, at)
            elif kind == "mid_conv_system":
                self._flush()
                content = _content(block.get("content", NULL), f"{at}.content", self._losses)
                self._written.extend([] if content is None else [{"role": _ROLES["system"], "content": content}])
            else:
                part = part_to_chat(block, at, self._losses)
                if part is not None:
                    self._parts.append(part)
        self._flush()
        return self._written

    def _flush(self, *, answers_follow: bool = False) -> None:
        """Write what the user said so far. What moved out of answers waits for the last of them."""
        if answers_follow and not self._parts:
            return
        parts = self._moved + self._parts
        self._moved, self._parts = [], []
        if parts:
            self._written.append({"role": _ROLES["user"], "content": _short(parts)})

    def _answer(self, block: Fields, where: str) -> None:
        self._losses.lose_unknown(block, _TOOL_RESULT, where)
        call_id = read_member(block, "tool_use_id", where)
        message = {"role": _ROLES["tool"], "tool_call_id": encode(call_id)}
        raw = block.get("content", NULL)
        if raw == NULL:
            message["content"] = NO_TEXT
        elif is_text(raw):
            message["content"] = raw
        else:
            message["content"] = self._answered(raw, call_id, f"{where}.content")
        if self._losses.extended and block.get("is_error") == TRUE:
            message["is_error"] = TRUE
        keep_hint(block, message, self._losses)
        self._written.append(message)

    def _answered(self, raw: Raw, call_id: str, where: str) -> Raw:
        said: list[Message] = []
        shown: list[Message] = []
        for position, block in enumerate(read_objects(raw, where)):
            part = part_to_chat(block, f"{where}[{position}]", self._losses)
            if part is not None:
                (said if "text" in part else shown).append(part)
        if shown:
            self._moved.append(text_block(encode(f"From the tool call {call_id}:")))
            self._moved.extend(shown)
        if said:
            return _short(said)
        return _SEE_BELOW if shown else NO_TEXT


def _assistant(blocks: list[dict[str, Raw]], where: str, losses: Losses) -> Message:
    parts: list[Message] = []
    calls: list[Message] = []
    thoughts: list[dict[str, Raw]] = []
    for position, block in enumerate(blocks):
        at = f"{where}[{position}]"
        kind = read_type(block, at)
        if kind in _THOUGHTS:
            thoughts.append(block)
        elif kind == "tool_use":
            calls.append(_call(block, at, losses))
        else:
            part = part_to_chat(block, at, losses)
            if part is not None:
                parts.append(part)
    message = {"role": _ROLES["assistant"], "content": _short(parts) if parts else NULL if calls else NO_TEXT}
    if losses.extended and thoughts:
        message["thinking_blocks"] = encode(thoughts)
    if losses.extended or not any(_is_signed(thought) for thought in thoughts):
        said = [text for thought in thoughts if (text := present(thought, "thinking")) is not None]
        if any(text != NO_TEXT for text in said):
            message["reasoning_content"] = joined(said)
    if calls:
        message["tool_calls"] = encode(calls)
    return message


def _is_signed(thought: Fields) -> bool:
    """Tell whether a provider of Messages wrote it; for one of Chat Completions, we wrote it without a signature."""
    return present(thought, "signature") not in (None, NO_TEXT) or "data" in thought


def _call(block: Fields, where: str, losses: Losses) -> Message:
    losses.lose_unknown(block, _TOOL_USE, where, _TOOL_USE_DEFAULTS)
    try:
        arguments = quoted(block.get("input", Raw(b"{}")))
    except UnicodeDecodeError:
        raise Unsayable(f"{where}.input", f"`{where}.input` is not UTF-8.") from None
    call = {
        "id": block.get("id", NULL),
        "type": _FUNCTION,
        "function": encode({"name": block.get("name", NULL), "arguments": arguments}),
    }
    keep_hint(block, call, losses)
    return call
