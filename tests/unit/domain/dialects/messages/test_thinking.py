import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.thinking import effort_to_chat, efforts_of, thinking_from_chat
from tests.support.messages_streams import fields_of


def from_chat(fields: object, *, max_tokens: int = 64_000, model: str = "") -> tuple[object, str | None]:
    losses = Losses(dialect="the other", drop=False)
    thinking, effort = thinking_from_chat(fields_of(fields), max_tokens, efforts=efforts_of(model), losses=losses)
    return None if thinking is None else json.loads(bytes(thinking)), effort


def to_chat(thinking: object, effort: object = None) -> str | None:
    said = Raw(json.dumps(effort).encode())
    return effort_to_chat(
        None if thinking is None else Raw(json.dumps(thinking).encode()),
        None if effort is None else said,
        Losses(dialect="the other", drop=False),
    )


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1_024), ("low", 1_024), ("medium", 2_048), ("high", 4_096), ("xhigh", 8_192), ("max", 16_384)],
)
def test_an_effort_is_a_budget(effort: str, budget: int) -> None:
    assert ({"type": "enabled", "budget_tokens": budget}, None) == from_chat({"reasoning_effort": effort})


@pytest.mark.parametrize(("max_tokens", "budget"), [(8_192, 4_096), (4_096, 2_048), (2_000, 1_024), (1_025, 1_024)])
def test_a_budget_leaves_room_for_the_reply(max_tokens: int, budget: int) -> None:
    assert ({"type": "enabled", "budget_tokens": budget}, None) == from_chat(
        {"reasoning_effort": "high"}, max_tokens=max_tokens
    )


def test_a_reply_too_short_to_think_is_refused() -> None:
    with pytest.raises(Unsayable, match="reasoning_effort"):
        from_chat({"reasoning_effort": "low"}, max_tokens=1_024)


def test_a_newer_model_takes_the_effort() -> None:
    adaptive = {"type": "adaptive", "display": "summarized"}

    assert (adaptive, "low") == from_chat({"reasoning_effort": "minimal"}, model="claude-opus-5", max_tokens=10)
    assert (adaptive, "max") == from_chat({"reasoning_effort": "max"}, model="claude-opus-5")


@pytest.mark.parametrize("fields", [{}, {"reasoning_effort": None}, {"reasoning_effort": "none"}])
def test_nothing_is_said_where_nothing_is_asked(fields: object) -> None:
    assert (None, None) == from_chat(fields)


def test_thinking_of_litellms_callers_goes_on() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5_000}

    assert (thinking, None) == from_chat({"thinking": thinking})


@pytest.mark.parametrize(
    "fields", [{"reasoning_effort": "huge"}, {"reasoning_effort": "low", "thinking": {"type": "x"}}]
)
def test_what_has_no_counterpart_is_named(fields: object) -> None:
    with pytest.raises(Unsayable, match="reasoning_effort"):
        from_chat(fields)


@pytest.mark.parametrize(
    ("budget", "effort"), [(1_024, "low"), (2_047, "low"), (2_048, "medium"), (4_096, "high"), (31_999, "high")]
)
def test_a_budget_is_an_effort(budget: int, effort: str) -> None:
    assert effort == to_chat({"type": "enabled", "budget_tokens": budget})


def test_a_named_effort_counts_before_a_budget() -> None:
    assert "xhigh" == to_chat({"type": "adaptive"}, "xhigh")
    assert "low" == to_chat({"type": "enabled", "budget_tokens": 30_000}, "low")
    assert "max" == to_chat(None, "max")


@pytest.mark.parametrize("thinking", [None, {"type": "disabled"}, {"type": "adaptive", "display": "omitted"}])
def test_the_model_decides_where_nobody_says(thinking: object) -> None:
    assert to_chat(thinking) is None


@pytest.mark.parametrize(
    ("thinking", "effort", "param"),
    [
        ({"type": "adaptive", "x": 1}, None, "thinking.x"),
        ({"type": "sometimes"}, None, "thinking.type"),
        (None, "huge", "output_config.effort"),
    ],
)
def test_other_ways_to_think_are_named(thinking: object, effort: object, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        to_chat(thinking, effort)

    assert param == caught.value.param


@pytest.mark.parametrize(
    ("model", "xhigh"),
    [
        ("claude-3-7-sonnet-20250219", None),
        ("claude-sonnet-4-20250514", None),
        ("claude-opus-4-1", None),
        ("claude-opus-4-5-20251101", None),
        ("claude-haiku-4-5", None),
        ("anthropic/claude-sonnet-4.5", None),
        ("claude-opus-4-6", "high"),
        ("anthropic/claude-sonnet-4.6", "high"),
        ("claude-sonnet-4-6-20260217", "high"),
        ("claude-opus-4-7", "xhigh"),
        ("claude-opus-4-8@20260528", "xhigh"),
        ("claude-sonnet-5", "xhigh"),
        ("claude-haiku-5-5", "xhigh"),
        ("claude-opus-10-20300101", "xhigh"),
        ("claude-mythos-preview", "xhigh"),
        ("claude-latest", None),
        ("kimi-k2", None),
    ],
)
def test_a_models_name_tells_whether_it_takes_an_effort_or_a_budget(model: str, xhigh: str | None) -> None:
    thinking, effort = from_chat({"reasoning_effort": "xhigh"}, model=model)

    assert xhigh == effort
    assert isinstance(thinking, dict)
    assert ("enabled" if xhigh is None else "adaptive") == thinking["type"]
