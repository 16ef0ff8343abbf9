"""A plan knows whom to ask, in which order, and why not the others."""

from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Model, Snapshot, Strategy, Substitute
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dialects.dialect import EMBEDDINGS, RESPONSES, Dialect
from router.domain.dialects.request import Request, read_request
from router.domain.dispatch.breakers import Passage
from router.domain.dispatch.failure import Fallback, Verdict
from router.domain.dispatch.machine import Widen
from router.domain.faults import Fault, Refusal
from router.domain.governance.priority import Classed
from router.domain.governance.rate import RateLimit, Unit, costs_of
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.planning.eligibility import DropReason
from router.domain.planning.plan import RoutePlan
from router.domain.planning.stored import Basis
from router.domain.planning.substitution import Reason
from router.domain.principal import Principal
from router.domain.settlement import StoredReply
from router.pipeline.flight import Flight
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import SECOND, FedStream, deployment, eject, principal, snapshot
from tests.support.ledger_facts import budget, reservation
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


def test_a_deployment_that_is_alone_has_no_conversations() -> None:
    assert planned(Rig(routed(place("a", context_window=9), context_window_fallbacks=("other",)))).conversation is None
    assert planned(Rig(routed(place("a"), place("b")))).conversation is not None


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


def test_a_conversation_does_not_move_to_another_model_that_answered_once() -> None:
    rig = Rig(routed(*(place(name) for name in "abcd")))
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    call = rig.call(named)
    call.plan = plan = planned(rig, named)
    planner, now = rig.pipeline.planner, rig.clock.monotonic_ns()
    planner.sent(call, plan.candidates[-1], now)
    planner.sent(call, rig.snapshots.current.models[ModelName("other")].deployments[0], now)

    assert plan.candidates[-1].target == planned(rig, named).pinned


def test_what_a_conversation_brings_is_of_where_it_was_also_when_it_goes_elsewhere() -> None:
    two = [place(name, provider=ProviderId(name)) for name in "ab"]
    rig = Rig(routed(*two))
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    call = rig.call(named)
    call.plan = planned(rig, named)
    rig.pipeline.planner.sent(call, two[1], rig.clock.monotonic_ns())
    breakers = rig.pipeline.means.breakers
    breakers.follow(rig.snapshots.current.breaker, two)
    breakers.open(two[1].target)

    assert (["a"], ProviderId("b")) == (order(planned(rig, named)), planned(rig, named).home)


SAID = ((b"x-ratelimit-limit-requests", b"60"), (b"x-ratelimit-remaining-requests", b"1"))
FULL_AGAIN = (b"x-ratelimit-reset-requests", b"60s")


def heard(rig: Rig, at: Deployment) -> None:
    """Let a provider say that there is one request left, and 60 again in a minute."""
    asked = begun_attempt(at=at)
    asked.flight = Flight(FedStream((*SAID, FULL_AGAIN)), ChatMeter(wants_usage=False))
    rig.pipeline.upstream_limits.learn(asked)


def test_who_has_no_room_left_is_set_back_until_it_has_some() -> None:
    rig = Rig(routed(place("a", weight=1_000), place("b", tier=2)))
    first, second = rig.snapshots.current.models[ModelName("small")].deployments
    heard(rig, first)
    call = rig.call(ASK)
    call.plan = before = planned(rig)
    rig.pipeline.planner.sent(call, first, rig.clock.monotonic_ns())
    after = planned(rig)
    rig.clock.pass_ns(60 * SECOND // 59 + SECOND)
    later = planned(rig)

    assert (["a", "b"], ["b", "a"], ["a", "b"]) == (order(before), order(after), order(later))
    assert [(first, DropReason.NO_ROOM)] == [(one.deployment, one.reason) for one in after.dropped]
    assert second.tier == 2


def test_no_conversation_outranks_a_limit() -> None:
    rig = Rig(routed(*(place(name) for name in "ab")))
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    call = rig.call(named)
    call.plan = planned(rig, named)
    home, other = call.plan.candidates
    heard(rig, home)
    rig.pipeline.planner.sent(call, home, rig.clock.monotonic_ns())

    assert [other, home] == list(planned(rig, named).candidates)


def test_a_deployments_own_rate_sets_it_back_and_nothing_is_charged_for_asking() -> None:
    tokens = RateLimit(id="t", scope_kind="deployment", scope_value="a", unit=Unit.TOKENS, limit=100, period_ns=SECOND)
    rig = Rig(routed(place("a", weight=1_000, rate_limits=(tokens,)), place("b", weight=0.001)))
    for _ in range(3):
        assert ["a", "b"] == order(planned(rig, ASK[:-1] + ',"max_tokens":80}'))
    rig.pipeline.gate.rates.charge((tokens,), costs_of(requests=1, input_tokens=0, output_tokens=15), 1 << 40)
    rig.clock.monotonic = 1 << 40

    assert ["b", "a"] == order(planned(rig, ASK[:-1] + ',"max_tokens":80}'))
    assert ["a", "b"] == order(planned(rig, ASK[:-1] + ',"max_tokens":70}'))


def test_who_lacks_what_is_asked_for_is_dropped() -> None:
    rig = Rig(routed(place("plain", lacks=frozenset({"tools"})), place("able")))
    plan = planned(rig, TOOLS)

    assert ["able"] == order(plan)
    assert [("plain", DropReason.CAPABILITY, "tools")] == [
        (one.deployment.id, one.reason, one.detail) for one in plan.dropped
    ]


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ("", ["large", "small"]),
        (',"max_tokens":10', ["large", "small"]),
        (',"max_tokens":95', ["large"]),
        ("x", ["large"]),
    ],
)
def test_who_is_too_small_is_dropped_however_the_size_is_known(more: str, kept: list[str]) -> None:
    body = ASK.replace("hi", "x" * 400) if more == "x" else ASK[:-1] + more + "}"
    rig = Rig(routed(place("small", context_window=100), place("large", context_window=1_000)))

    assert kept == sorted(order(planned(rig, body)))


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


def test_who_cannot_be_asked_in_the_callers_dialect_is_dropped_also_when_it_is_alone() -> None:
    chats, embeds = (place(one, dialects=frozenset({one})) for one in (Dialect.CHAT, Dialect.EMBEDDINGS))
    alone, both = (planned(Rig(routed(*places))) for places in ((embeds,), (chats, embeds)))
    rig = Rig(routed(chats, embeds))
    call = rig.call()
    request = read_request(EMBEDDINGS, b'{"model":"small","input":"hi"}')
    assert isinstance(request, Request)
    call.request = request
    batch = rig.pipeline.planner.plan(call)
    assert isinstance(batch, RoutePlan)

    assert [[], ["chat"], ["embeddings"]] == [order(plan) for plan in (alone, both, batch)]
    assert [(embeds, "chat"), (embeds, "chat"), (chats, "embeddings")] == [
        (one.deployment, one.detail) for plan in (alone, both, batch) for one in plan.dropped
    ]


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


def test_who_has_no_room_comes_after_who_is_slow_and_has_some() -> None:
    places = [place("a"), place("b", tier=2), place("c"), place("d", tier=3)]
    rig = Rig(routed(*places))
    for one in places[1:]:
        eject(rig.pipeline.means.breakers, one, rig.clock.monotonic_ns())
    full = []
    for one in (places[2], places[0], places[1], places[3]):
        full.append(planned(rig))
        heard(rig, one)
        call = rig.call(ASK)
        call.plan = full[-1]
        rig.pipeline.planner.sent(call, one, rig.clock.monotonic_ns())
    full.append(planned(rig))

    assert ["acbd", "abdc", "bdac", "dabc", "acbd"] == ["".join(order(plan)) for plan in full]
    assert [set("bcd")] * 5 == [plan.spared for plan in full]
    no_room = ["".join(one.deployment.id for one in plan.dropped) for plan in full]
    assert ["", "c", "ac", "abc", ""] == no_room


def test_a_conversation_stays_at_one_that_is_spared_where_nobody_else_has_room() -> None:
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    places = [place(name) for name in "abc"]
    rig = Rig(routed(*places))
    call = rig.call(named)
    call.plan = planned(rig, named)
    rig.pipeline.planner.sent(call, places[1], rig.clock.monotonic_ns())
    for one in places[1:]:
        eject(rig.pipeline.means.breakers, one, rig.clock.monotonic_ns())
    before = planned(rig, named)
    heard(rig, places[0])
    rig.pipeline.planner._headroom.sent(call.request, places[0])

    assert ("a", ["b", "c", "a"]) == (order(before)[0], order(planned(rig, named)))


def test_a_model_that_answers_at_times_is_not_down() -> None:
    rig = Rig(routed(place("a"), substitutes=(Substitute(model=ModelName("other"), down=True),)))
    eject(rig.pipeline.means.breakers, place("a"), rig.clock.monotonic_ns())

    assert ("small", ["a"]) == (planned(rig).model.name, order(planned(rig)))


@pytest.mark.parametrize(("observe", "served"), [(False, "other"), (True, "small")])
async def test_a_budget_brings_a_stand_in_unless_it_is_only_observed(observe: bool, served: str) -> None:
    low = replace(budget("key", 100), observe=observe)
    substitutes = (Substitute(model=ModelName("other"), budget_used_pct=80),)
    rig = Rig(replace(routed(place("a"), substitutes=substitutes), budgets={low.id: low}))
    await rig.ledger.reserve(reservation(1, hold=80, path=[(low.id, "ci")]), rig.clock.wall)

    assert served == planned(rig, who=replace(principal("*"), accounts=((low.id, "ci"),))).model.name


def test_a_stand_in_for_a_class_goes_by_the_calls_own() -> None:
    substitutes = (Substitute(model=ModelName("other"), priority="batch"),)
    rig = Rig(routed(place("a"), substitutes=substitutes))
    call = rig.call(ASK)
    call.priority = Classed("batch", lowered=True)
    plan = rig.pipeline.planner.plan(call)

    assert isinstance(plan, RoutePlan)
    assert (ModelName("other"), Reason.PRIORITY) == (plan.model.name, plan.stands_in)
    assert "small" == planned(rig).model.name


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


def test_load_is_counted_where_somebody_chooses_by_it() -> None:
    rig = Rig(routed(*(place(name) for name in "ab")))
    call = rig.call(ASK)
    call.plan = planned(rig)
    planner = rig.pipeline.planner
    alone = planner.started(rig.snapshots.current.models[ModelName("other")].deployments[0], 1, 1)

    assert alone is None
    assert planner.started(call.plan.candidates[0], 1, 1) is not None
    assert [1] == [load.outstanding for load in planner.loads.values() if load.outstanding]


def test_what_a_reload_adds_is_counted_from_the_next_call_on() -> None:
    rig = Rig(routed(place("a")))
    call = rig.call(ASK)
    call.plan = planned(rig)
    only = call.plan.candidates[0]
    rig.pipeline.planner.sent(call, only, 1)
    before = rig.pipeline.planner.started(only, 1, 1)
    rig.snapshots.current = replace(routed(place("a"), place("b")), revision=2)
    again = rig.call(ASK)
    again.plan = call.plan
    rig.pipeline.planner.sent(again, only, 1)

    assert before is None
    assert rig.pipeline.planner.started(only, 1, 1) is not None


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
