"""What a call would meet is told without sending, charging, holding or pinning anything."""

from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Model, Snapshot, Strategy, Substitute
from router.domain.dispatch.breakers import Passage
from router.domain.dispatch.failure import Failure, FailureKind, Fallback, verdict_of
from router.domain.faults import Fault, RouterError
from router.domain.governance.budget import BudgetId, BudgetMode
from router.domain.governance.output_estimate import SAMPLES_MIN, class_of
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Unit
from router.domain.ids import DeploymentId, ModelName
from router.domain.metadata import Metadata
from router.domain.principal import Mode, Principal
from router.domain.settlement import Labels
from router.pipeline.explain import Explanation, Weighed
from tests.support.fakes import SECOND, deployment, principal, snapshot
from tests.support.ledger_facts import STARTED_NS, budget, reservation
from tests.support.pipeline import Rig

ASK = '{"model":"small","messages":[{"role":"user","content":"hi"}],"max_tokens":10}'
SMALL, OTHER = ModelName("small"), ModelName("other")


def place(name: str, **more: object) -> Deployment:
    return replace(deployment(), id=DeploymentId(name), **more)  # type: ignore[arg-type]  # members by name


def routed(*deployments: Deployment, **model: object) -> Snapshot:
    small = Model(name=SMALL, deployments=deployments, **model)  # type: ignore[arg-type]  # as above
    other = Model(name=OTHER, deployments=(place("other", model=OTHER),))
    return replace(snapshot(), models={SMALL: small, OTHER: other}, budgets={BudgetId("b"): budget("b", 10**10)})


def explained(rig: Rig, body: str = ASK, *, who: Principal | None = None) -> Explanation:
    return rig.pipeline.explain(rig.call(body, who=who))


def only(found: Explanation) -> Weighed:
    (candidate,) = found.candidates
    return candidate


def refused(candidate: Weighed) -> list[tuple[str, Fault]]:
    return [(one.policy, one.refusal.fault) for one in candidate.said if one.refusal is not None]


async def test_nothing_is_sent_recorded_charged_or_pinned() -> None:
    rig = Rig(routed(place("a"), place("b")))
    limit = RateLimit(id="r", scope_kind="key", scope_value="ci", unit=Unit.REQUESTS, limit=1, period_ns=SECOND)
    who = replace(principal("*"), rate_limits=(limit,), accounts=((BudgetId("b"), "ci"),))
    named = ASK[:-1] + ',"prompt_cache_key":"k"}'
    for _ in range(3):
        found = explained(rig, named, who=who)

    assert found.admitted
    assert found.plan.pinned is None
    assert [] == rig.upstreams.requests
    assert {} == rig.pipeline.open_calls
    assert [] == rig.telemetry.settled
    assert {} == rig.ledger._calls
    assert 0 == rig.ledger.standing((BudgetId("b"), "ci"), STARTED_NS).reserved


def test_candidates_come_in_their_order_with_what_decides_it() -> None:
    rig = Rig(routed(place("a"), place("b"), place("c", tier=2), strategy=Strategy.LEAST_BUSY))
    for name in ("a", "a", "b"):
        rig.pipeline.planner.loads.started(place(name).target, 0, rig.clock.monotonic)
    found = explained(rig)

    assert ["b", "a", "c"] == [one.deployment.id for one in found.candidates]
    assert [("busyness", 1.0), ("busyness", 2.0), ("busyness", 0.0)] == [one.figure for one in found.candidates]


def test_the_ceiling_is_what_would_be_held_at_worst() -> None:
    rig = Rig()
    free = only(explained(rig))
    who = replace(principal("*"), accounts=((BudgetId("b"), "ci"),))
    rig = Rig(routed(place("a")))

    assert free.sized is not None
    assert free.sized.ceiling.usd(10) == free.ceiling_nano_usd
    assert free.ceiling_nano_usd == only(explained(rig, who=who)).ceiling_nano_usd
    assert only(explained(Rig(routed(place("a", price=None))))).ceiling_nano_usd is None


def test_what_is_held_at_first_may_be_less_than_the_ceiling() -> None:
    rig = Rig(routed(place("a")))
    who = replace(principal("*"), accounts=((BudgetId("b"), "ci"),), budget_mode=BudgetMode.QUANTILE)
    body = ASK.replace('"max_tokens":10', '"max_tokens":90,"stream":true')
    call = rig.call(body, who=who)
    for _ in range(SAMPLES_MIN):
        rig.pipeline.gate._estimates.learn(class_of("small", "a1", call.request.size), 20)
    candidate = only(rig.pipeline.explain(call))

    assert candidate.sized is not None
    assert (20, candidate.sized.ceiling.usd(90)) == (candidate.sized.output_tokens, candidate.ceiling_nano_usd)


async def test_a_budget_that_has_no_room_says_so() -> None:
    rig = Rig(routed(place("a")))
    account = (BudgetId("b"), "ci")
    await rig.ledger.reserve(reservation(1, hold=10**10, path=[account]), rig.clock.wall)
    found = explained(rig, who=replace(principal("*"), accounts=(account,)))

    assert [("budget", Fault.BUDGET_EXHAUSTED)] == refused(only(found))
    assert not found.admitted


def test_a_model_without_a_price_cannot_be_sized_under_a_budget() -> None:
    rig = Rig(routed(place("a", price=None)))
    found = explained(rig, who=replace(principal("*"), accounts=((BudgetId("b"), "ci"),)))

    assert [("sizing", Fault.PRICE_UNKNOWN)] == refused(only(found))


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.OBSERVE])
def test_limits_on_speed_say_who_would_refuse(mode: Mode) -> None:
    rig = Rig(routed(place("a")))
    places = ConcurrencyLimit(id="c", scope_kind="key", scope_value="ci", limit=1)
    fast = RateLimit(id="r", scope_kind="key", scope_value="ci", unit=Unit.REQUESTS, limit=1, period_ns=SECOND)
    tokens = RateLimit(id="t", scope_kind="key", scope_value="ci", unit=Unit.TOKENS, limit=1, period_ns=SECOND)
    who = replace(principal("*"), mode=mode, concurrency_limits=(places,), rate_limits=(fast, tokens))
    permit = rig.pipeline.gate.permits.acquire((places,))
    rig.pipeline.gate.rates.charge((fast,), only(explained(rig)).sized.costs, rig.clock.monotonic)  # type: ignore[union-attr]
    found = explained(rig, who=who)

    assert [
        ("concurrency", Fault.RATE_LIMITED),
        ("rate", Fault.RATE_LIMITED),
        ("rate", Fault.INVALID_REQUEST),
    ] == refused(only(found))
    assert (mode is Mode.OBSERVE) is found.admitted
    permit.release()  # type: ignore[union-attr]  # there was a place


async def test_what_is_only_observed_refuses_and_lets_pass() -> None:
    watched = replace(budget("b", 10**10), observe=True)
    rig = Rig(replace(routed(place("a")), budgets={watched.id: watched}))
    account = (watched.id, "ci")
    await rig.ledger.reserve(reservation(1, hold=10**10, path=[account]), rig.clock.wall)
    places = ConcurrencyLimit(id="c", scope_kind="key", scope_value="ci", limit=1, observe=True)
    rig.pipeline.gate.permits.acquire((places,))
    found = explained(rig, who=replace(principal("*"), accounts=(account,), concurrency_limits=(places,)))

    assert [("concurrency", Fault.RATE_LIMITED), ("budget", Fault.BUDGET_EXHAUSTED)] == refused(only(found))
    assert [True, True] == [one.observed for one in only(found).said]
    assert only(found).refusal is None
    assert found.admitted


def test_a_stand_in_and_the_fallbacks_of_each_kind_are_named() -> None:
    rig = Rig(routed(place("a"), substitutes=(Substitute(model=OTHER),), fallbacks=(OTHER,)))
    stood_in = explained(rig)
    rig = Rig(routed(place("a"), context_window_fallbacks=(OTHER,)))

    assert stood_in.substituted is not None
    assert "small->other;always" == stood_in.substituted.text
    assert {Fallback.ANY: (), Fallback.CONTEXT: (OTHER,), Fallback.POLICY: ()} == explained(rig).fallbacks


def test_nobody_now_is_no_error_and_nobody_ever_is_one() -> None:
    rig = Rig(routed(place("a"), place("b")))
    passages = [rig.pipeline.means.breakers.enter(place(name), rig.clock.monotonic) for name in "ab"]
    failure = Failure(kind=FailureKind.STATUS, message="m", status=429)
    for passage in passages:
        assert isinstance(passage, Passage)
        passage.failed(verdict_of(failure), now=rig.clock.monotonic, retry_after_ns=SECOND, again=False)
    found = explained(rig)

    assert (2, False) == (len(found.plan.dropped), found.admitted)
    assert () == found.candidates
    with pytest.raises(RouterError) as caught:
        explained(Rig(routed(place("a", lacks=frozenset({"tools"})))), ASK[:-1] + ',"tools":[{"type":"function"}]}')
    assert Fault.CAPABILITY_MISSING is caught.value.refusal.fault


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (ASK.replace("small", "nothing"), Fault.MODEL_NOT_FOUND),
        (ASK[:-1] + ',"fallbacks":["nothing"]}', Fault.MODEL_NOT_FOUND),
        (ASK[:-1] + ',"disable_fallbacks":1}', Fault.INVALID_REQUEST),
    ],
)
def test_what_could_never_be_planned_is_refused(body: str, fault: Fault) -> None:
    with pytest.raises(RouterError) as caught:
        explained(Rig(), body)

    assert fault is caught.value.refusal.fault


def test_a_call_that_may_not_say_what_it_says_is_refused_as_it_would_be() -> None:
    rig = Rig()
    call = rig.call(ASK, who=replace(principal("*"), may_set_attribution=False))

    assert Labels(agent="a1") == call.labels == Metadata(labels=Labels(agent="a1")).labels
    with pytest.raises(RouterError) as caught:
        rig.pipeline.explain(call)
    assert Fault.PERMISSION_DENIED is caught.value.refusal.fault
