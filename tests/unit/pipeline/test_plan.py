"""A plan knows whom to ask, in which order, and why not the others."""

from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Model, Snapshot, Strategy, Substitute
from router.domain.dialects.dialect import RESPONSES, Dialect
from router.domain.dispatch.breakers import Passage
from router.domain.dispatch.failure import Fallback, Verdict
from router.domain.dispatch.machine import Widen
from router.domain.faults import Fault, Refusal
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.planning.eligibility import DropReason
from router.domain.planning.plan import RoutePlan
from router.domain.planning.stored import Basis
from router.domain.planning.substitution import Reason
from router.domain.principal import Principal
from router.domain.settlement import StoredReply
from tests.support.fakes import deployment, eject, principal, snapshot
from tests.support.pipeline import Rig

ASK = '{"model":"small","messages":[{"role":"user","content":"hi"}]}'
TOOLS = '{"model":"small","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function"}]}'


def place(name: str, **more: object) -> Deployment:
    return replace(deployment(), id=DeploymentId(name), **more)  # type: ignore[arg-type]  # members by name


def routed(*deployments: Deployment, **model: object) -> Snapshot:
    small = Model(name=ModelName("small"), deployments=deployments, **model)  # type: ignore[arg-type]  # as above
    other = Model(name=ModelName("other"), deployments=(place("other", model=ModelName("other"), context_window=50),))
    return replace(snapshot(), models={small.name: small, other.name: other})


def planned(rig: Rig, body: str = ASK, *, who: Principal | None = None) -> RoutePlan:
    plan = rig.pipeline.planner.plan(rig.call(body, who=who))
    assert isinstance(plan, RoutePlan), plan
    return plan


def order(plan: RoutePlan) -> list[str]:
    return [one.id for one in plan.candidates]


def test_one_deployment_is_planned_as_it_is() -> None:
    plan = planned(Rig())

    assert (["up/model"], (), ProviderId("up")) == (order(plan), tuple(plan.dropped), plan.home)


def test_lower_tiers_come_first_and_weights_decide_within_one() -> None:
    rig = Rig(routed(place("c", tier=2), place("a", weight=0), place("b")))

    assert ["b", "a", "c"] == order(planned(rig))


def test_a_conversation_stays_where_it_is() -> None:
    rig = Rig(routed(*(place(name) for name in "abcd")))
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    call = rig.call(named)
    call.plan = plan = planned(rig, named)
    last = plan.candidates[-1]
    rig.pipeline.planner.sent(call, last, rig.clock.monotonic_ns())

    again = planned(rig, named)
    assert (None, last.target) == (plan.pinned, again.pinned)
    assert last.id == order(again)[0]


def test_who_lacks_what_is_asked_for_is_dropped() -> None:
    rig = Rig(routed(place("plain", lacks=frozenset({"tools"})), place("able")))
    plan = planned(rig, TOOLS)

    assert ["able"] == order(plan)
    assert [("plain", DropReason.CAPABILITY, "tools")] == [
        (one.deployment.id, one.reason, one.detail) for one in plan.dropped
    ]


def test_when_nobody_can_do_it_the_caller_hears_what_is_lacking() -> None:
    rig = Rig(routed(place("plain", lacks=frozenset({"tools"}))))
    call = rig.call(TOOLS)
    plan = planned(rig, TOOLS)
    command = rig.pipeline.planner.dispatch_of(call, plan).begin(call.arrived)
    call.plan = plan
    gives = rig.pipeline.planner.dispatch_of(call, plan)
    gives.begin(call.arrived)

    assert "Widen" == type(command).__name__
    refusal = gives.widened([], call.arrived)
    assert Fault.CAPABILITY_MISSING is refusal.refusal.fault  # type: ignore[union-attr]  # it gives


def test_a_fallback_that_is_too_small_is_left_out() -> None:
    rig = Rig(routed(place("a"), fallbacks=(ModelName("other"),)))
    call = rig.call(ASK[:-1] + ',"max_tokens":40}')
    call.plan = planned(rig)
    longer = rig.call(ASK[:-1] + ',"max_tokens":60}')
    longer.plan = call.plan

    assert ["other"] == [one.id for one in rig.pipeline.planner.widen(call, Fallback.ANY)]
    assert [] == list(rig.pipeline.planner.widen(longer, Fallback.ANY))
    assert [] == list(rig.pipeline.planner.widen(call, Fallback.CONTEXT))


def test_a_prompt_that_seems_too_long_goes_where_more_fits_and_not_elsewhere() -> None:
    rig = Rig(routed(place("first", context_window=1), context_window_fallbacks=(ModelName("other"),)))
    call = rig.call(ASK)
    plan = rig.pipeline.planner.plan(call)
    assert isinstance(plan, RoutePlan)

    assert Widen(Fallback.CONTEXT) == rig.pipeline.planner.dispatch_of(call, plan).begin(call.arrived)


def test_a_key_gets_no_fallback_that_it_may_not_use() -> None:
    rig = Rig(routed(place("a"), fallbacks=(ModelName("other"),)))
    call = rig.call(ASK, who=principal("small"))
    call.plan = planned(rig)

    assert [] == list(rig.pipeline.planner.widen(call, Fallback.ANY))


@pytest.mark.parametrize(
    ("body", "who", "served"),
    [
        (ASK, principal("*"), "other"),
        (ASK, replace(principal("*"), may_substitute=False), "small"),
        (ASK, principal("small"), "small"),
        (ASK.replace("user", "tool"), principal("*"), "small"),
    ],
)
def test_a_stand_in_needs_consent_a_grant_and_the_start_of_a_turn(body: str, who: Principal, served: str) -> None:
    rig = Rig(routed(place("a"), substitutes=(Substitute(model=ModelName("other")),)))
    plan = planned(rig, body, who=who)

    assert (served, Reason.ALWAYS if served == "other" else None) == (plan.model.name, plan.stands_in)
    assert "small" == plan.asked.name


def test_a_stand_in_for_one_that_is_down_serves_while_it_is() -> None:
    rig = Rig(routed(place("a"), substitutes=(Substitute(model=ModelName("other"), down=True),)))
    breakers, target = rig.pipeline.means.breakers, place("a").target
    breakers.follow(rig.snapshots.current.breaker, [place("a")])
    before = planned(rig).model.name
    breakers.open(target)

    assert ("small", "other") == (before, planned(rig).model.name)


def test_who_is_slow_or_fails_at_times_is_left_out_while_half_are_well_and_comes_last_after_that() -> None:
    places = [place("a"), place("b", tier=2), place("c", tier=3)]
    rig = Rig(routed(*places))
    plans = [planned(rig)]
    for one in places:
        eject(rig.pipeline.means.breakers, one, rig.clock.monotonic_ns())
        plans.append(planned(rig))

    assert [["a", "b", "c"], ["b", "c"], ["c", "a", "b"], ["a", "b", "c"]] == [order(plan) for plan in plans]
    assert [[], ["a"], [], []] == [[one.deployment.id for one in plan.dropped] for plan in plans]
    assert [[], [], ["a", "b"], ["a", "b", "c"]] == [sorted(plan.spared) for plan in plans]


def test_a_conversation_leaves_one_that_is_spared_while_another_is_well() -> None:
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    places = [place(name) for name in "abc"]
    rig = Rig(routed(*places))
    call = rig.call(named)
    call.plan = planned(rig, named)
    rig.pipeline.planner.sent(call, places[0], rig.clock.monotonic_ns())
    for one in places[:2]:
        eject(rig.pipeline.means.breakers, one, rig.clock.monotonic_ns())

    assert "c" == order(planned(rig, named))[0]
    eject(rig.pipeline.means.breakers, places[2], rig.clock.monotonic_ns())
    assert "a" == order(planned(rig, named))[0]


def test_a_model_that_answers_at_times_is_not_down() -> None:
    rig = Rig(routed(place("a"), substitutes=(Substitute(model=ModelName("other"), down=True),)))
    eject(rig.pipeline.means.breakers, place("a"), rig.clock.monotonic_ns())

    assert ("small", ["a"]) == (planned(rig).model.name, order(planned(rig)))


def test_a_fallback_that_nobody_knows_is_refused_before_anything_is_sent() -> None:
    rig = Rig()
    refusal = rig.pipeline.planner.plan(rig.call(ASK[:-1] + ',"fallbacks":["nobody"]}'))

    assert isinstance(refusal, Refusal)
    assert Fault.MODEL_NOT_FOUND is refusal.fault


def test_a_prompt_goes_where_its_beginning_was_read() -> None:
    long = ASK.replace("hi", "x" * 20_000)
    rig = Rig(routed(*(place(name) for name in "ab"), strategy=Strategy.EXPECTED_TTFT))
    call = rig.call(long)
    call.plan = plan = planned(rig, long)
    last = plan.candidates[-1]
    first_time = rig.pipeline.planner.sent(call, last, rig.clock.monotonic_ns())
    again = rig.pipeline.planner.sent(call, last, rig.clock.monotonic_ns())

    assert last.id == order(planned(rig, long))[0]
    assert again < first_time / 5


BUILT = '{"model":"small","input":"hi","previous_response_id":"resp_1"}'
SPEAKS = frozenset({Dialect.CHAT, Dialect.RESPONSES})


def built_on(rig: Rig, basis: Basis, body: str = BUILT) -> RoutePlan:
    call = rig.call(body, grammar=RESPONSES)
    plan = rig.pipeline.planner.plan(call, basis)
    assert isinstance(plan, RoutePlan), plan
    return plan


def stored_at(one: Deployment) -> Basis:
    return Basis("previous_response_id", StoredReply("resp_1", one.id, one.provider, one.credential))


def test_a_call_goes_where_that_is_stored_on_which_it_builds_and_nowhere_else() -> None:
    places = [place(name, dialects=SPEAKS) for name in "abc"]
    rig = Rig(routed(*places, fallbacks=(ModelName("other"),)))
    plan = built_on(rig, stored_at(places[2]))
    named = built_on(rig, stored_at(places[2]), BUILT[:-1] + ',"fallbacks":["other"]}')

    assert ["c"] == order(plan) == order(named)
    assert ("c", True, ProviderId("up")) == (plan.pinned, plan.stored, plan.home)
    call = rig.call(BUILT, grammar=RESPONSES)
    assert [(), ()] == [rig.pipeline.planner.fallbacks(call, one, Fallback.ANY) for one in (plan, named)]


def test_a_holder_that_rests_has_no_stand_in() -> None:
    places = [place(name, dialects=SPEAKS) for name in "abc"]
    rig = Rig(routed(*places))
    now = rig.clock.monotonic_ns()
    for _ in range(20):
        passage = rig.pipeline.means.breakers.enter(places[1], now)
        if isinstance(passage, Passage):
            passage.failed(Verdict(fault=Fault.UPSTREAM_ERROR, counts=True), now=now)
    plan = built_on(rig, stored_at(places[1]))

    assert ([], [("b", DropReason.RESTING)]) == (
        order(plan),
        [(one.deployment.id, one.reason) for one in plan.dropped],
    )


def test_what_nobody_can_have_stored_is_refused_before_anybody_is_asked() -> None:
    rig = Rig(routed(*(place(name, dialects=SPEAKS) for name in "ab")))
    call = rig.call(BUILT, grammar=RESPONSES)
    refusal = rig.pipeline.planner.plan(call, Basis("previous_response_id", None))

    assert isinstance(refusal, Refusal)
    assert (Fault.NOT_FOUND, "previous_response_id") == (refusal.fault, refusal.param)
