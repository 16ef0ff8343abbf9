"""Put the messages of a Chat Completions request into a system prompt and turns of Messages.

System and developer messages become the system prompt, wherever they stood. Neighbours of one role become one turn, and
the answers of tools a turn of the user, in their order. Empty texts say nothing, and Messages refuses them.

An assistant's thoughts come first in its turn, then what it said, then its tool calls. Thoughts pass with their
signature; without one they are nobody's (`reasoning_content`) and are left out, as whoever wrote them would do.
"""

from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.calls import id_for_messages, input_of
from router.domain.dialects.messages.parts import part_from_chat, text_block
from router.domain.dialects.raw_json import (
    NO_TEXT,
    NULL,
    TRUE,
    Fields,
    encode,
    is_text,
    present,
    read_member,
    read_object,
    read_objects,
    read_text,
    read_type,
)

_COMMON: Final = frozenset({"role", "content", "cache_control"})
_MEMBERS: Final = {
    "system": _COMMON,
    "developer": _COMMON,
    "user": _COMMON,
    "tool": _COMMON | {"tool_call_id", "name", "is_error"},
    "assistant": _COMMON
    | {"tool_calls", "thinking_blocks", "refusal"}
    # What replies carry and callers send back, and no provider reads:
    | {"reasoning_content", "reasoning", "reasoning_details", "provider_specific_fields", "annotations"},
}
"""Members that are read, or mean nothing in a request. The `name` of a tool's answer is also in the call."""

_TOOL_CALL: Final = frozenset(
    {"id", "type", "function", "index", "cache_control", "provider_specific_fields", "extra_content"}
)
_TOOL_USE: Final = Raw(b'"tool_use"')
_TOOL_RESULT: Final = Raw(b'"tool_result"')
_THOUGHT: Final = {"thinking": ("thinking", "signature"), "redacted_thinking": ("data",)}
_PROOF: Final = {"thinking": "signature", "redacted_thinking": "data"}

Block = dict[str, Raw]


class _Turn:
    """Neighbouring messages of one role."""

    __slots__ = ("alone", "blocks", "role")

    def __init__(self, role: str) -> None:
        self.role = role
        self.blocks: list[Block] = []
        self.alone: Raw | None = None
        """The last plain text of the turn: its short form, if the turn is nothing else."""

    def written(self) -> dict[str, object]:
        alone = self.alone if len(self.blocks) == 1 else None
        return {"role": self.role, "content": self.blocks if alone is None else alone}


def history_from_chat(messages: Raw, losses: Losses) -> tuple[Raw | None, Raw]:
    """Return `system`, None without one, and `messages`. Raises `Unsayable`."""
    system = _Turn("system")
    turns: list[_Turn] = []
    for position, message in enumerate(read_objects(messages, "messages")):
        where = f"messages[{position}]"
        role = read_member(message, "role", where)
        members = _MEMBERS.get(role)
        if members is None:
            raise Unsayable(f"{where}.role", f"Messages has no messages of the role `{role}`.")
        losses.lose_unknown(message, members, where)
        if role == "system" or role == "developer":
            _say(system, message, where, losses)
            continue
        turn_of = "assistant" if role == "assistant" else "user"
        turn = turns[-1] if turns and turns[-1].role == turn_of else _Turn(turn_of)
        if role == "tool":
            turn.blocks.append(_answer(message, where, losses))
        elif role == "user":
            _say(turn, message, where, losses)
        else:
            _assistant(turn, message, where, losses)
        if turn.blocks and (not turns or turns[-1] is not turn):
            turns.append(turn)
    prompt = system.written()["content"] if system.blocks else None
    return None if prompt is None else encode(prompt), encode([turn.written() for turn in turns])


def _say(turn: _Turn, message: Fields, where: str, losses: Losses) -> None:
    """Add what a message says to its turn."""
    content = message.get("content", NULL)
    cache_control = present(message, "cache_control")
    if content in (NULL, NO_TEXT):
        return
    if is_text(content):
        turn.alone = content if cache_control is None else None
        turn.blocks.append(text_block(content, cache_control))
        return
    blocks = _blocks(content, f"{where}.content", losses)
    if blocks and cache_control is not None:
        blocks[-1].setdefault("cache_control", cache_control)
    turn.blocks.extend(blocks)


def _blocks(content: Raw, where: str, losses: Losses) -> list[Block]:
    blocks = []
    for position, part in enumerate(read_objects(content, where)):
        at = f"{where}[{position}]"
        if read_type(part, at) in _THOUGHT:
            block = _thought(part, at)
        else:
            block = part_from_chat(part, at, losses)
        if block is not None:
            blocks.append(block)
    return blocks


def _assistant(turn: _Turn, message: Fields, where: str, losses: Losses) -> None:
    thoughts = present(message, "thinking_blocks")
    if thoughts is not None:
        at = f"{where}.thinking_blocks"
        for position, part in enumerate(read_objects(thoughts, at)):
            thought = _thought(part, f"{at}[{position}]")
            if thought is not None:
                turn.blocks.append(thought)
    _say(turn, message, where, losses)
    refusal = present(message, "refusal")
    if refusal is not None and refusal != NO_TEXT:
        turn.blocks.append(text_block(refusal))
    calls = present(message, "tool_calls")
    if calls is not None:
        at = f"{where}.tool_calls"
        for position, call in enumerate(read_objects(calls, at)):
            turn.blocks.append(_call(call, f"{at}[{position}]", losses))


def _thought(part: Fields, where: str) -> Block | None:
    """Return a thought as its provider wrote it; None if nothing proves who did."""
    kind = read_type(part, where)
    if kind not in _THOUGHT:
        raise Unsayable(f"{where}.type", f"`{kind}` is not a kind of thought.")
    if present(part, _PROOF[kind]) in (None, NO_TEXT):
        return None
    return {"type": part["type"], **{name: part.get(name, NO_TEXT) for name in _THOUGHT[kind]}}


def _call(call: Fields, where: str, losses: Losses) -> Block:
    losses.lose_unknown(call, _TOOL_CALL, where)
    if "type" in call and (kind := read_type(call, where)) != "function":
        # It cannot be left out: its answer would then answer nothing.
        raise Unsayable(f"{where}.type", f"Messages has no tool calls of type `{kind}`. Use functions.")
    function = read_object(call.get("function", NULL), f"{where}.function")
    raw = present(function, "arguments")
    block = {
        "type": _TOOL_USE,
        "id": encode(id_for_messages(read_member(call, "id", where))),
        "name": function.get("name", NULL),
        "input": input_of("" if raw is None else read_text(raw, f"{where}.function.arguments")),
    }
    cache_control = present(call, "cache_control")
    if cache_control is not None:
        block["cache_control"] = cache_control
    return block


def _answer(message: Fields, where: str, losses: Losses) -> Block:
    block = {
        "type": _TOOL_RESULT,
        "tool_use_id": encode(id_for_messages(read_member(message, "tool_call_id", where))),
    }
    content = message.get("content", NULL)
    if content not in (NULL, NO_TEXT):
        block["content"] = content if is_text(content) else encode(_blocks(content, f"{where}.content", losses))
    if message.get("is_error") == TRUE:
        block["is_error"] = TRUE
    cache_control = present(message, "cache_control")
    if cache_control is not None:
        block["cache_control"] = cache_control
    return block
