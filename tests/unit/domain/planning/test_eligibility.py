from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.catalog import Deployment
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.ids import DeploymentId, ProviderId
from router.domain.planning.eligibility import Dropped, DropReason, Sifted, free_at, set_back, sift
from router.domain.planning.needs import Needs

LIMIT = ConcurrencyLimit(id="l", scope_kind="deployment", scope_value="f", limit=1)


def deployment(name: str, window: int | None = None, *, lacks: str = "", limited: bool = False) -> Deployment:
    return Deployment(
        id=DeploymentId(name),
        provider=ProviderId("p"),
        upstream_model="m",
        context_window=window,
        lacks=frozenset(lacks.split()),
        concurrency_limits=(LIMIT,) if limited else (),
    )


def sifted(
    *deployments: Deployment, wants: str = "", tokens: int = 10, resting: Mapping[str, int] | None = None
) -> Sifted:
    return sift(
        deployments,
        Needs(capabilities=frozenset(wants.split()), input_tokens=tokens, output_tokens=None),
        rests_until=(resting or {}).get,  # type: ignore[arg-type]  # a target is a string
        is_full=lambda one: one.id == "full",
    )


PLAIN = deployment("plain")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (deployment("rests"), (DropReason.RESTING, 7)),
        (deployment("blind", lacks="vision json_schema tools"), (DropReason.CAPABILITY, "tools,vision")),
        (deployment("small", 9), (DropReason.CONTEXT_WINDOW, 9)),
        (deployment("full", limited=True), (DropReason.FULL, None)),
        (deployment("exact", 10), None),
        (deployment("able", lacks="json_schema"), None),
        (deployment("limited", limited=True), None),
    ],
)
def test_who_cannot_serve_the_request_now_is_dropped_with_the_reason(
    other: Deployment, reason: tuple[DropReason, object] | None
) -> None:
    found = sifted(PLAIN, other, wants="vision tools", resting={"rests": 7})

    assert [PLAIN, *([] if reason else [other])] == found.kept
    assert ([] if reason is None else [Dropped(other, *reason)]) == found.dropped  # type: ignore[arg-type]  # a detail


def test_a_prompt_that_seems_too_long_for_all_is_left_to_the_largest() -> None:
    small, large, rests = deployment("s", 5), deployment("l", 8), deployment("r", 9)
    found = sifted(small, large, rests, resting={"r": 3})

    assert [large] == found.kept
    assert [small, rests] == [one.deployment for one in found.dropped]


def test_when_nobody_is_left_the_first_that_will_be_free_is_known() -> None:
    blind = deployment("b", lacks="vision")
    found = sifted(deployment("x"), deployment("y"), blind, wants="vision", resting={"x": 9, "y": 4})

    assert ([], 4) == (found.kept, free_at(found.dropped))
    assert free_at(sifted(PLAIN).dropped) is None


def test_who_has_no_room_for_the_call_comes_last_and_soonest_first() -> None:
    roomy, soon, late = deployment("roomy"), deployment("soon"), deployment("late")
    found = set_back([late, roomy, soon], _waits(late=9, soon=4), 100)

    assert [roomy] == found.kept
    assert [Dropped(soon, DropReason.NO_ROOM, 104), Dropped(late, DropReason.NO_ROOM, 109)] == found.dropped


def test_where_nobody_has_room_nobody_is_set_back() -> None:
    full = [deployment("a"), deployment("b")]

    assert (full, []) == set_back(full, _waits(a=1, b=2), 0)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3)))
def test_nobody_is_lost_and_none_without_room_comes_before_one_with_some(waits: dict[str, int]) -> None:
    all_of_them = [deployment(name) for name in waits]
    found = set_back(all_of_them, _waits(**waits), 5)
    order = [*found.kept, *[one.deployment for one in found.dropped]]

    assert sorted(waits) == sorted(one.id for one in order)
    assert [one for one in all_of_them if one in found.kept] == found.kept
    if 0 in waits.values():
        assert [waits[one.id] for one in found.kept] == [0] * list(waits.values()).count(0)
        spans = [waits[one.deployment.id] for one in found.dropped]
        assert sorted(spans) == spans
    else:
        assert [] == found.dropped


def _waits(**spans_ns: int) -> Callable[[Deployment], int]:
    return lambda one: spans_ns.get(one.id, 0)
