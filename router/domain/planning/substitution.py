"""Decide whether another model stands in for the one that was asked for, before anything is sent.

Laws: never without the key's consent, never in the middle of a turn (a tool's answer is owed to the model that asked
for it), never below the quality that the operator wants at least; and always announced.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.catalog import Model, Substitute
from router.domain.dialects.request import Request
from router.domain.ids import ModelName


class Reason(StrEnum):
    """What brought a stand-in, the first of its conditions."""

    BUDGET = "budget"
    PRIORITY = "priority"
    TAG = "tag"
    DOWN = "down"
    LATE = "late"
    ALWAYS = "always"
    FALLBACK = "fallback"
    """Not chosen before: the model that was asked for has failed."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the conditions of a stand-in are held against."""

    budget_used_pct: int = 0
    """Of the fullest budget on the call's path."""
    budget_low: bool = False
    """A budget on the path has reached a threshold whose action is `substitute`."""
    priority: str = ""
    tags: frozenset[str] = frozenset()
    down: bool = False
    late: bool = False


class _Message(msgspec.Struct, gc=False):
    """The last one: a message, or an item of Responses."""

    role: str = ""
    type: str = ""
    content: Raw = Raw()


class _Part(msgspec.Struct, gc=False):
    type: str = ""


_messages: Final = msgspec.json.Decoder(list[Raw])
_message: Final = msgspec.json.Decoder(_Message)
_parts: Final = msgspec.json.Decoder(list[_Part])
_TOOL_ROLES: Final = ("tool", "function")
_TOOL_OUTPUT: Final = "_output"
_TOOL_RESULT: Final = "tool_result"
_NOTHING: Final = Raw(b"[]")


def stand_in(
    model: Model, models: Mapping[ModelName, Model], now: Circumstances, granted: Iterable[ModelName]
) -> tuple[Model, Reason] | None:
    """Return the first stand-in whose conditions all hold, and why; None where the model serves itself."""
    allowed = set(granted)
    for one in model.substitutes:
        other = models.get(one.model)
        if other is None or one.model not in allowed or not _good_enough(model, other):
            continue
        reason = _reason(one, now)
        if reason is not None:
            return other, reason
    return None


def may_change(request: Request) -> bool:
    """Tell whether a turn begins with this request: its last message is no tool's answer, and holds none."""
    grammar, fields = request.grammar, request.fields
    if not grammar.generates:
        return False  # vectors of two models cannot be held against each other
    if not grammar.stored.isdisjoint(fields):
        return False  # what the provider holds is nobody else's
    content = fields.get(grammar.content, _NOTHING)
    if not grammar.turns or bytes(content)[:1] == b'"':
        return True
    try:
        found = _messages.decode(content)
        return not found or not _answers_tool(_message.decode(found[-1]))
    except (msgspec.DecodeError, RecursionError):
        return False


def _answers_tool(last: _Message) -> bool:
    if last.role in _TOOL_ROLES or last.type.endswith(_TOOL_OUTPUT):
        return True
    if bytes(last.content)[:1] != b"[":
        return False
    return any(part.type == _TOOL_RESULT for part in _parts.decode(last.content))


def _good_enough(model: Model, other: Model) -> bool:
    floor = model.quality_floor
    return floor is None or (other.quality is not None and other.quality >= floor)


def _reason(one: Substitute, now: Circumstances) -> Reason | None:
    """A budget's own threshold stands in for the percentage that a stand-in asks for."""
    held: list[Reason] = []
    if one.budget_used_pct is not None:
        if not (now.budget_low or now.budget_used_pct >= one.budget_used_pct):
            return None
        held.append(Reason.BUDGET)
    if one.priority is not None:
        if now.priority != one.priority:
            return None
        held.append(Reason.PRIORITY)
    if one.tag is not None:
        if one.tag not in now.tags:
            return None
        held.append(Reason.TAG)
    if one.down:
        if not now.down:
            return None
        held.append(Reason.DOWN)
    if one.late:
        if not now.late:
            return None
        held.append(Reason.LATE)
    return held[0] if held else Reason.ALWAYS
