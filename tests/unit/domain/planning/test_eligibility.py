from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.catalog import Deployment, Model
from router.domain.dialects.dialect import Dialect
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.ids import DeploymentId, ModelName, ProviderId, TargetId
from router.domain.planning.eligibility import NOBODY, Dropped, DropReason, Sifted, free_at, set_back, sift, suits
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


class Known:
    """Targets that rest until then, others that are `ejected` until 8, and some that are being `tried`."""

    def __init__(self, resting: Mapping[str, int] | None = None, *, ejected: str = "", tried: str = "") -> None:
        self.resting, self.ejected, self.tried = resting or {}, ejected.split(), tried.split()

    def peek(self, target: TargetId, _now: int) -> int | None:
        return 8 if target in self.ejected else self.resting.get(target)

    def is_ejected(self, target: TargetId, _now: int) -> bool:
        return target in self.ejected

    def is_out(self, target: TargetId, now: int) -> bool:
        return target in self.tried or self.peek(target, now) is not None


def sifted(
    *deployments: Deployment,
    wants: str = "",
    tokens: int = 10,
    resting: Mapping[str, int] | None = None,
    ejected: str = "",
    tried: str = "",
    dialect: Dialect = Dialect.CHAT,
) -> Sifted:
    return sift(
        deployments,
        Needs(
            dialect=dialect,
            capabilities=frozenset(wants.split()),
            input_tokens=tokens,
            output_tokens=None,
            tokens=tokens,
        ),
        health=Known(resting, ejected=ejected, tried=tried),
        now=0,
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


def test_who_cannot_be_asked_in_a_dialect_that_leads_to_the_callers_is_dropped() -> None:
    chat = Deployment(
        id=DeploymentId("chat"), provider=ProviderId("p"), upstream_model="m", dialects=frozenset({Dialect.CHAT})
    )
    found = {one: sifted(PLAIN, chat, dialect=one).kept for one in Dialect}

    assert [PLAIN] == found[Dialect.EMBEDDINGS] == found[Dialect.COMPLETIONS]
    assert [PLAIN, chat] == found[Dialect.CHAT] == found[Dialect.MESSAGES] == found[Dialect.RESPONSES]


A, B, C, D = (deployment(name) for name in "abcd")


@pytest.mark.parametrize(
    ("pool", "known", "kept"),
    [
        ((A, B), {"ejected": "a"}, "b"),
        ((A, B), {"ejected": "a b"}, "ab"),
        ((A,), {"ejected": "a"}, "a"),
        ((A, B, C), {"ejected": "a"}, "bc"),
        ((A, B, C), {"ejected": "a b"}, "cab"),
        ((A, B, C, D), {"ejected": "a b"}, "cd"),
        ((A, B, C, D), {"ejected": "d", "resting": {"a": 1, "b": 2}}, "cd"),
        ((A, B, C, D), {"ejected": "d", "resting": {"a": 1}}, "bc"),
        ((A, B, C, D), {"ejected": "d", "resting": {"a": 1, "b": 2, "c": 3}}, "d"),
        ((A, B, C, D), {"ejected": "d", "resting": {"a": 1}, "tried": "b"}, "bcd"),
        ((A, B), {"resting": {"a": 1, "b": 2}}, ""),
    ],
)
def test_who_answers_slowly_is_ejected_while_half_of_the_pool_is_well(
    pool: tuple[Deployment, ...], known: dict[str, Any], kept: str
) -> None:
    """And asked after the others when more than half are out; who does not answer is out all the same."""
    found = sifted(*pool, **known)

    assert list(kept) == [one.id for one in found.kept]
    assert {one for one in known.get("ejected", "").split() if one in kept} == found.spared
    reasons = {one.deployment.id: one.reason for one in found.dropped}
    ejected = {one for one, reason in reasons.items() if reason is DropReason.EJECTED}
    assert ejected == set(known.get("ejected", "").split()) - found.spared


def test_the_pool_is_those_that_can_serve_the_request() -> None:
    """The only one that sees is slow: an image goes there all the same, and text does not."""
    blind = [deployment(name, lacks="vision") for name in "xyz"]

    assert [A] == sifted(A, *blind, wants="vision", ejected="a").kept
    assert blind == sifted(A, *blind, ejected="a").kept


def test_who_is_ejected_and_cannot_serve_is_dropped_for_that() -> None:
    blind, small = deployment("a", lacks="vision"), deployment("b", 5)
    found = sifted(blind, small, C, wants="vision", ejected="a b")

    assert {"a": DropReason.CAPABILITY, "b": DropReason.CONTEXT_WINDOW} == {
        one.deployment.id: one.reason for one in found.dropped
    }
    assert [small] == sifted(small, ejected="b").kept


def test_who_is_spared_and_full_is_full() -> None:
    full = deployment("full", limited=True)
    found = sifted(full, A, ejected="full a")

    assert ([A], [Dropped(full, DropReason.FULL)]) == (found.kept, found.dropped)


def test_an_ejected_one_is_free_when_its_breaker_says() -> None:
    full = deployment("full", limited=True)

    assert ([], 8) == (list(sifted(full, A, ejected="a").kept), free_at(sifted(full, A, ejected="a").dropped))


HEALTHS = st.lists(st.sampled_from(["well", "tried", "ejected", "resting"]), min_size=1, max_size=8)


@given(HEALTHS)
def test_never_more_than_half_are_out_while_one_of_them_answers(healths: list[str]) -> None:
    named = {f"{number}": health for number, health in enumerate(healths)}
    being = {health: [name for name, is_so in named.items() if is_so == health] for health in set(healths)}
    found = sifted(
        *map(deployment, named),
        resting=dict.fromkeys(being.get("resting", []), 1),
        ejected=" ".join(being.get("ejected", [])),
        tried=" ".join(being.get("tried", [])),
    )
    ejected = [one for one in found.dropped if one.reason is DropReason.EJECTED]
    out = len(healths) - len(being.get("well", []))

    assert 2 * len(ejected) <= len(healths)
    assert not ejected or 2 * out <= len(healths)
    assert not found.spared or 2 * out > len(healths)
    assert len(healths) == len(found.kept) + len(found.dropped)
    assert found.kept or set(healths) == {"resting"}


def kept(*deployments: Deployment, spared: str = "", dropped: Sequence[Dropped] = ()) -> Sifted:
    return Sifted(deployments, dropped, frozenset([one.target for one in deployments if one.id in spared.split()]))


def _waits(**spans_ns: int) -> Callable[[Deployment], int]:
    return lambda one: spans_ns.get(one.id, 0)


def test_who_has_no_room_for_the_call_comes_last_and_soonest_first() -> None:
    roomy, soon, late = deployment("roomy"), deployment("soon"), deployment("late")
    rests = Dropped(deployment("rests"), DropReason.RESTING, 7)
    found = set_back(kept(late, roomy, soon, dropped=[rests]), _waits(late=9, soon=4), 100)

    assert [roomy] == found.kept
    no_room = [Dropped(soon, DropReason.NO_ROOM, 104), Dropped(late, DropReason.NO_ROOM, 109)]
    assert [rests, *no_room] == found.dropped
    assert (104, 109) == tuple(one.until_ns for one in no_room)


def test_who_has_no_room_is_not_left_alone() -> None:
    found = set_back(kept(A, B, dropped=[Dropped(C, DropReason.RESTING, 9)]), _waits(b=4), 0)

    assert 9 == free_at(found.dropped)
    assert free_at(found.dropped[1:]) is None


def test_where_nobody_has_room_nobody_is_set_back() -> None:
    full = kept(deployment("a"), deployment("b"), spared="b")

    assert full == set_back(full, _waits(a=1, b=2), 0)


@pytest.mark.parametrize(
    ("waits", "first", "last"),
    [({"a": 5, "b": 5}, "cd", "ab"), ({"a": 5, "c": 5}, "bd", "ac"), ({"a": 5, "c": 4}, "bd", "ca")],
)
def test_the_spared_stay_so_and_come_before_who_has_no_room(waits: dict[str, int], first: str, last: str) -> None:
    """And after those without room that are well, if they have some as late as those."""
    found = set_back(kept(A, B, C, D, spared="c d"), _waits(**waits), 0)

    assert (list(first), list(last)) == ([one.id for one in found.kept], [one.deployment.id for one in found.dropped])
    assert {"c", "d"} == found.spared


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3)))
def test_nobody_is_lost_and_none_without_room_comes_before_one_with_some(waits: dict[str, int]) -> None:
    all_of_them = [deployment(name) for name in waits]
    found = set_back(kept(*all_of_them), _waits(**waits), 5)
    order = [*found.kept, *[one.deployment for one in found.dropped]]

    assert sorted(waits) == sorted(one.id for one in order)
    assert [one for one in all_of_them if one in found.kept] == list(found.kept)
    if 0 in waits.values():
        assert [waits[one.id] for one in found.kept] == [0] * list(waits.values()).count(0)
        spans = [waits[one.deployment.id] for one in found.dropped]
        assert sorted(spans) == spans
    else:
        assert [] == list(found.dropped)


_DIALECTS = st.sets(st.sampled_from((Dialect.CHAT, Dialect.MESSAGES, Dialect.EMBEDDINGS)), min_size=1).map(frozenset)
_WANTED = st.sets(st.sampled_from(("tools", "vision"))).map(frozenset)
_DEPLOYMENTS = st.lists(
    st.builds(
        Deployment,
        id=st.sampled_from("abcd").map(DeploymentId),
        provider=st.just(ProviderId("p")),
        upstream_model=st.just("m"),
        context_window=st.sampled_from((None, None, 5, 10)),
        lacks=_WANTED,
        dialects=_DIALECTS,
        concurrency_limits=st.sampled_from(((), (), (LIMIT,))),
        adaptive=st.sampled_from((False, False, True)),
    ),
    min_size=1,
    max_size=4,
)


@given(_DEPLOYMENTS, _DIALECTS, _WANTED, st.integers(4, 11))
def test_all_that_are_well_are_kept_of_a_model_that_suits(
    deployments: list[Deployment], dialects: frozenset[Dialect], wanted: frozenset[str], tokens: int
) -> None:
    model = Model(name=ModelName("m"), deployments=tuple(deployments))
    needs = Needs(dialect=min(dialects), capabilities=wanted, input_tokens=tokens, output_tokens=None, tokens=tokens)
    if suits(model, needs):
        found = sift(deployments, needs, health=Known(), now=5, is_full=lambda _: True)
        assert Sifted(deployments, [], NOBODY) == found


@pytest.mark.parametrize(
    ("one", "suited"),
    [
        (deployment("b"), True),
        (deployment("b", 10), True),
        (deployment("b", 9), False),
        (deployment("b", lacks="vision"), True),
        (deployment("b", lacks="tools"), False),
        (deployment("b", limited=True), False),
        (replace(deployment("b"), adaptive=True), False),
        (replace(deployment("b"), dialects=frozenset((Dialect.MESSAGES,))), False),
    ],
)
def test_a_model_suits_where_each_of_its_deployments_does(one: Deployment, suited: bool) -> None:
    needs = Needs(
        dialect=Dialect.CHAT, capabilities=frozenset(("tools",)), input_tokens=10, output_tokens=None, tokens=10
    )

    assert suited == suits(Model(name=ModelName("m"), deployments=(deployment("a"), one)), needs)
