import json
from collections.abc import Sequence

import pytest
from msgspec import Raw

from router.domain.catalog import Model, Substitute
from router.domain.dialects.dialect import COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.dialects.request import Request
from router.domain.ids import ModelName
from router.domain.planning.substitution import Circumstances, Reason, may_change, stand_in
from tests.support.asked import asked
from tests.support.fakes import deployment


def saying(messages: bytes) -> Request:
    return asked({"messages": Raw(messages)})


CALM = Circumstances(priority="standard")


def model(name: str, *substitutes: Substitute, quality: float | None = None, floor: float | None = None) -> Model:
    return Model(
        name=ModelName(name),
        deployments=(deployment(),),
        substitutes=substitutes,
        quality=quality,
        quality_floor=floor,
    )


def chosen(
    *substitutes: Substitute,
    now: Circumstances = CALM,
    others: Sequence[Model] = (model("small"), model("tiny")),
    granted: Sequence[str] = ("small", "tiny"),
    floor: float | None = None,
) -> tuple[str, Reason] | None:
    models = {one.name: one for one in others}
    found = stand_in(model("large", *substitutes, floor=floor), models, now, [ModelName(one) for one in granted])
    return None if found is None else (found[0].name, found[1])


def to(name: str, **when: object) -> Substitute:
    return Substitute(model=ModelName(name), **when)  # type: ignore[arg-type]  # conditions by name


@pytest.mark.parametrize(
    ("condition", "now", "reason"),
    [
        ({"budget_used_pct": 80}, Circumstances(budget_used_pct=80), Reason.BUDGET),
        ({"budget_used_pct": 80}, Circumstances(budget_low=True), Reason.BUDGET),
        ({"budget_used_pct": 80}, Circumstances(budget_used_pct=79), None),
        ({"priority": "batch"}, Circumstances(priority="batch"), Reason.PRIORITY),
        ({"priority": "batch"}, CALM, None),
        ({"tag": "t"}, Circumstances(tags=frozenset("st")), Reason.TAG),
        ({"tag": "t"}, CALM, None),
        ({"down": True}, Circumstances(down=True), Reason.DOWN),
        ({"down": True}, CALM, None),
        ({"late": True}, Circumstances(late=True), Reason.LATE),
        ({"late": True}, CALM, None),
        ({}, CALM, Reason.ALWAYS),
        ({"priority": "batch", "down": True}, Circumstances(priority="batch"), None),
        ({"priority": "batch", "down": True}, Circumstances(priority="batch", down=True), Reason.PRIORITY),
    ],
)
def test_a_stand_in_serves_when_all_its_conditions_hold(
    condition: dict[str, object], now: Circumstances, reason: Reason | None
) -> None:
    assert (None if reason is None else ("small", reason)) == chosen(to("small", **condition), now=now)


def test_the_first_whose_conditions_hold_is_taken_so_a_budget_goes_down_a_ladder() -> None:
    ladder = to("tiny", budget_used_pct=90), to("small", budget_used_pct=70)

    assert [None, ("small", Reason.BUDGET), ("tiny", Reason.BUDGET)] == [
        chosen(*ladder, now=Circumstances(budget_used_pct=used)) for used in (69, 70, 90)
    ]


def test_who_is_not_granted_or_not_there_does_not_stand_in() -> None:
    assert ("tiny", Reason.ALWAYS) == chosen(to("small"), to("tiny"), granted=["tiny"])
    assert ("tiny", Reason.ALWAYS) == chosen(to("gone"), to("tiny"), granted=["gone", "tiny"])


@pytest.mark.parametrize(("quality", "serves"), [(None, False), (4.9, False), (5, True), (9, True)])
def test_nobody_stands_in_below_the_floor(quality: float | None, serves: bool) -> None:
    assert serves == (chosen(to("small"), others=[model("small", quality=quality)], floor=5) is not None)


@pytest.mark.parametrize(
    ("roles", "may"),
    [([], True), (["user"], True), (["user", "assistant", "tool"], False), (["user", "function"], False)],
)
def test_nobody_stands_in_in_the_middle_of_a_turn(roles: list[str], may: bool) -> None:
    assert may == may_change(saying(json.dumps([{"role": role} for role in roles]).encode()))


@pytest.mark.parametrize("messages", [b"{}", b"[1]", b"["])
def test_messages_that_cannot_be_read_change_no_model(messages: bytes) -> None:
    assert not may_change(saying(messages))


@pytest.mark.parametrize(
    ("grammar", "fields", "may"),
    [
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, True),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]}, False),
        (RESPONSES, {"input": "x"}, True),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "c", "output": ""}]}, False),
        (RESPONSES, {"input": "x", "previous_response_id": "resp_1"}, False),
        (COMPLETIONS, {"prompt": "x"}, True),
        (EMBEDDINGS, {"input": "x"}, False),
    ],
)
def test_a_turn_is_known_in_every_dialect(grammar: Grammar, fields: dict[str, object], may: bool) -> None:
    raws = {name: Raw(json.dumps(value).encode()) for name, value in fields.items()}

    assert may == may_change(asked(raws, grammar=grammar))
