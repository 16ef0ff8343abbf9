"""A decision is small, is written only where there was one, and reads as a person would say it."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from router.domain.catalog import Deployment, Model
from router.domain.dialects.dialect import Dialect
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.planning.directives import Directives
from router.domain.planning.eligibility import Dropped, DropReason
from router.domain.planning.explanation import DECISION_BYTES_MAX, LISTED_MAX, describe, explain, substituted_by
from router.domain.planning.plan import RoutePlan
from router.domain.planning.substitution import Reason
from router.domain.settlement import Substituted
from tests.support.fakes import SECOND, deployment

SMALL, OTHER = ModelName("small"), ModelName("other")
A, B, C = (replace(deployment(), id=DeploymentId(name)) for name in ("up/a", "up/b", "up/c"))
ELSEWHERE = replace(deployment(), id=DeploymentId("far/x"), provider=ProviderId("far"), model=OTHER)
OFFSET = 1_800_000_000 * SECOND


def model(*deployments: Deployment, name: ModelName = SMALL) -> Model:
    return Model(name=name, deployments=deployments)


def plan(*candidates: Deployment, dropped: Sequence[Dropped] = (), **more: object) -> RoutePlan:
    asked = model(*candidates, *(one.deployment for one in dropped))
    members = {"asked": asked, "model": asked, "candidates": candidates, "dropped": dropped} | more
    return RoutePlan(**members)  # type: ignore[arg-type]  # members by name


def stood_in(reason: Reason = Reason.DOWN) -> RoutePlan:
    return plan(ELSEWHERE, asked=model(A), model=model(ELSEWHERE, name=OTHER), stands_in=reason)


def read(of: RoutePlan, *tried: Deployment) -> dict[str, object]:
    text = explain(of, tried, OFFSET)
    assert text is not None
    decoded: dict[str, object] = msgspec.json.decode(text)
    return decoded


@pytest.mark.parametrize("tried", [(), (A,)])
def test_where_there_was_no_choice_nothing_is_written(tried: tuple[Deployment, ...]) -> None:
    assert explain(plan(A), tried, OFFSET) is None


@pytest.mark.parametrize(
    ("of", "tried"),
    [
        (plan(A, B), (A,)),
        (plan(A, dropped=[Dropped(B, DropReason.FULL)]), (A,)),
        (plan(dropped=[Dropped(B, DropReason.FULL)]), ()),
        (stood_in(), (ELSEWHERE,)),
        (plan(A), (A, A)),
        (plan(A), (ELSEWHERE,)),
        (plan(A, directives=Directives(disabled=True)), (A,)),
        (plan(A, directives=Directives(fallbacks=())), (A,)),
    ],
)
def test_wherever_there_was_one_it_is_written(of: RoutePlan, tried: tuple[Deployment, ...]) -> None:
    assert explain(of, tried, OFFSET) is not None


def test_members_that_say_nothing_are_left_out() -> None:
    assert {"a": "small", "c": ["up/a", "up/b"], "t": [["up/b", "small"]]} == read(plan(A, B), B)


@pytest.mark.parametrize("reason", [DropReason.RESTING, DropReason.EJECTED, DropReason.NO_ROOM])
def test_a_rest_ends_at_a_time_of_the_wall(reason: DropReason) -> None:
    resting = Dropped(B, reason, 5 * SECOND)

    assert [["up/b", reason.value, 1_800_000_005_000]] == read(plan(A, dropped=[resting]), A)["d"]


def test_who_is_spared_is_named() -> None:
    of = plan(A, B, spared=frozenset({B.target}))

    assert ["up/b"] == read(of, A)["s"]
    assert "kept though slow or failing at times, because most are out: up/b" in describe(
        explain(of, [A], OFFSET) or ""
    )


def test_who_was_set_back_is_a_candidate_still() -> None:
    text = explain(plan(A, B, dropped=[Dropped(B, DropReason.NO_ROOM, 5 * SECOND)]), [A], 1_800_000_000 * SECOND)
    assert text is not None

    assert [
        "in order: up/a, up/b",
        "set back: up/b, no room for the call under its limits until 2027-01-15 08:00:05Z",
        "attempt 1: up/a",
    ] == describe(text)


def test_lists_are_cut_and_say_by_how_much() -> None:
    many = [replace(A, id=DeploymentId(f"up/{number}")) for number in range(LISTED_MAX + 3)]
    found = read(plan(*many), many[0])

    assert LISTED_MAX == len(found["c"])  # type: ignore[arg-type]  # a list
    assert 3 == found["n"]


@pytest.mark.parametrize(("length", "listed"), [(10, LISTED_MAX), (300, LISTED_MAX // 4), (5_000, 0)])
def test_a_decision_keeps_within_its_bytes_however_long_names_are(length: int, listed: int) -> None:
    many = [replace(A, id=DeploymentId(f"up/{number}" + "x" * length)) for number in range(40)]
    text = explain(plan(*many, dropped=[Dropped(one, DropReason.FULL) for one in many]), many, OFFSET)

    assert text is not None
    assert len(text) <= DECISION_BYTES_MAX
    found = msgspec.json.decode(text)
    assert [listed] * 3 == [len(found.get(name, ())) for name in "cdt"]
    assert 120 == found["n"] + 3 * listed


def test_the_model_asked_for_is_no_substitute_under_any_name() -> None:
    alone = model(A, name=ModelName("up/a"))

    assert substituted_by(plan(A), A) is None
    assert substituted_by(plan(A, asked=alone, model=alone), A) is None


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.FALLBACK])
def test_a_stand_in_is_one_for_its_own_reason(reason: Reason) -> None:
    found = substituted_by(stood_in(reason), ELSEWHERE)

    assert Substituted("small", "other", reason.value) == found
    assert found is not None
    assert f"small->other;{reason.value}" == found.text


def test_who_serves_after_a_stand_in_failed_is_a_fallback_and_the_model_itself_is_none() -> None:
    third = replace(ELSEWHERE, id=DeploymentId("far/y"), model=ModelName("third"))

    assert Substituted("small", "third", "fallback") == substituted_by(stood_in(), third)
    assert Substituted("small", "other", "fallback") == substituted_by(plan(A), ELSEWHERE)
    assert substituted_by(stood_in(), A) is None


def test_a_person_reads_all_of_it() -> None:
    dropped = [
        Dropped(C, DropReason.RESTING, 5 * SECOND),
        Dropped(replace(C, id=DeploymentId("up/d")), DropReason.CAPABILITY, "tools,vision"),
        Dropped(replace(C, id=DeploymentId("up/e")), DropReason.CONTEXT_WINDOW, 8_000),
        Dropped(replace(C, id=DeploymentId("up/f")), DropReason.FULL),
        Dropped(replace(C, id=DeploymentId("up/g")), DropReason.RESTING),
        Dropped(replace(C, id=DeploymentId("up/h")), DropReason.EJECTED, 5 * SECOND),
        Dropped(replace(C, id=DeploymentId("up/i")), DropReason.DIALECT, Dialect.EMBEDDINGS),
    ]
    of = plan(
        A,
        B,
        dropped=dropped,
        pinned=B.target,
        directives=Directives(fallbacks=(OTHER,), disabled=True),
    )

    assert [
        "the conversation was at up/b",
        "in order: up/a, up/b",
        "left out: up/c, left alone until 2027-01-15 08:00:05Z",
        "left out: up/d, cannot do tools,vision",
        "left out: up/e, reads 8000 tokens at most",
        "left out: up/f, has as many calls as it may",
        "left out: up/g, resting",
        "left out: up/h, slow or failing at times, left alone until 2027-01-15 08:00:05Z",
        "left out: up/i, cannot be asked in embeddings",
        "the request wanted no other model",
        "the request named to fall back on: other",
        "passed over, not free or of no help: up/b",
        "attempt 1: up/a",
        "attempt 2: far/x, of the model other",
    ] == describe(explain(of, (A, ELSEWHERE), OFFSET) or "")


def test_a_person_reads_who_stood_in_and_that_nobody_was_asked() -> None:
    assert [
        "other stands in for small: no deployment of it could take a call",
        "in order: far/x",
        "it was sent to nobody",
    ] == describe(explain(stood_in(), (), OFFSET) or "")
    assert "passed over, not free or of no help: up/a" in describe(explain(plan(A, B, C), (B,), OFFSET) or "")


def test_what_is_no_decision_is_no_decision() -> None:
    with pytest.raises(msgspec.DecodeError):
        describe("[]")


def test_a_decision_of_a_later_release_can_be_read() -> None:
    text = '{"a":"s","m":"t","r":"moon","c":["x"],"d":[["y","dark",null]],"t":[["x",""]],"zz":1}'

    assert ["t stands in for s: a reason of another release", "in order: x", "left out: y, dark"] == describe(text)[:3]
