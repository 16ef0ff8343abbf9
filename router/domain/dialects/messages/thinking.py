"""Say how much a model may think: an effort in Chat Completions, a budget of tokens or an effort in Messages.

Older models of Anthropic take a budget, newer ones only an effort; the budgets are litellm's, whose users move here.
A model that is not Anthropic's, or whose name does not say which it is, is given a budget, as all once took one.
Messages thinks only when told to, so "none" and "disabled" are as good as nothing said. A budget counts towards the
longest reply and must be below it: it takes at most half, unless less than the smallest budget would be left.
"""

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses
from router.domain.dialects.raw_json import Fields, encode, present, read_number, read_object, read_text, read_type

BUDGET_MIN: Final = 1_024
"""Tokens: less is refused by Messages."""

_BUDGETS: Final = {
    "minimal": BUDGET_MIN,
    "low": 1_024,
    "medium": 2_048,
    "high": 4_096,
    "xhigh": 8_192,
    "max": 16_384,
}
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_VERSION: Final = re.compile(r"claude-[a-z]+-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_PREVIEW: Final = "claude-mythos-preview"
_EFFORTS_SINCE: Final[tuple[tuple[tuple[int, int], Mapping[str, str]], ...]] = (
    ((4, 7), _EFFORTS),
    ((4, 6), {**_EFFORTS, "xhigh": "high"}),
)
"""The efforts that Anthropic's models take since a version, newest first; earlier ones take budgets.

From Anthropic's pages on adaptive thinking and effort, and `supports_adaptive_thinking` in litellm's price map.
"""
_NAMED: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_FROM_BUDGET: Final = ((4_096, "high"), (2_048, "medium"), (0, "low"))
_THINKING: Final = frozenset({"type", "budget_tokens", "display"})
"""`display` goes unsaid: whether thoughts are shown changes no other part of a reply."""
_ADAPTIVE: Final = Raw(b'{"type":"adaptive","display":"summarized"}')


def efforts_of(model: str) -> Mapping[str, str] | None:
    """Return what each effort is called for a model; None: it takes a budget."""
    if _PREVIEW in model:
        return _EFFORTS
    named = _VERSION.search(model)
    if named is None:
        return None
    version = int(named[1]), int(named[2] or 0)
    return next((efforts for since, efforts in _EFFORTS_SINCE if version >= since), None)


def thinking_from_chat(
    fields: Fields, max_tokens: float, *, efforts: Mapping[str, str] | None, losses: Losses
) -> tuple[Raw | None, str | None]:
    """Return `thinking` and the effort of `output_config`, each None to leave it out.

    `efforts`: the model's, by `efforts_of`. litellm's callers may send `thinking` itself, and it goes on as it is.
    """
    thinking, asked = present(fields, "thinking"), present(fields, "reasoning_effort")
    if asked is None:
        return thinking, None
    effort = read_text(asked, "reasoning_effort")
    if effort == "none":
        return thinking, None
    if effort not in _BUDGETS:
        losses.lose("reasoning_effort", f"Messages knows no effort like that. Use one of {', '.join(_BUDGETS)}, none.")
        return thinking, None
    if thinking is not None:
        losses.lose("reasoning_effort", "`thinking` says already how much to think. Send one of the two.")
        return thinking, None
    if efforts is not None:
        return _ADAPTIVE, efforts[effort]
    if max_tokens <= BUDGET_MIN:
        losses.lose("reasoning_effort", f"Thinking takes {BUDGET_MIN} tokens or more of the reply. Raise its maximum.")
        return None, None
    budget = min(_BUDGETS[effort], max(BUDGET_MIN, int(max_tokens) // 2))
    return encode({"type": "enabled", "budget_tokens": budget}), None


def effort_to_chat(thinking: Raw | None, effort: Raw | None, losses: Losses) -> str | None:
    """Return `reasoning_effort`; None to leave it out, as where the model is to decide by itself."""
    kind = "disabled"
    budget = None
    if thinking is not None:
        fields = read_object(thinking, "thinking")
        losses.lose_unknown(fields, _THINKING, "thinking")
        kind = read_type(fields, "thinking")
        budget = present(fields, "budget_tokens")
    if effort is not None:
        named = read_text(effort, "output_config.effort")
        if named in _NAMED:
            return named
        losses.lose("output_config.effort", f"`output_config.effort` must be one of {', '.join(sorted(_NAMED))}.")
    if kind == "enabled" and budget is not None:
        tokens = read_number(budget, "thinking.budget_tokens")
        return next(name for least, name in _FROM_BUDGET if tokens >= least or not least)
    if kind not in ("enabled", "adaptive", "disabled"):
        losses.lose("thinking.type", "`thinking.type` must be enabled, adaptive or disabled.")
    return None
