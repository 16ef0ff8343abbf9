"""The class of a call is decided once, by its key, its header and the budgets on its path."""

from dataclasses import replace

import pytest

from router.domain.faults import Fault, RouterError
from router.domain.governance.budget import Budget, BudgetId, Scope, ScopeKind, Threshold, ThresholdAction
from router.domain.governance.priority import Classed, Grant
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT
from router.pipeline.call import Call
from router.pipeline.prioritize import prioritize
from tests.support.fakes import chunk, principal, snapshot, usage_chunk
from tests.support.ledger_facts import budget, reservation
from tests.support.pipeline import Rig

LOWER = Threshold(at_pct=80, action=ThresholdAction.LOWER_PRIORITY)
ACCOUNT = (BudgetId("key"), "ci")


def low_rig(*thresholds: Threshold, observe: bool = False) -> Rig:
    one = replace(budget("key", 100, thresholds=thresholds), observe=observe)
    return Rig(replace(snapshot(), budgets={one.id: one}))


async def classed(rig: Rig, *, used: int = 80) -> Classed | None:
    await rig.ledger.reserve(reservation(1, hold=used, path=[ACCOUNT]), rig.clock.wall)
    call = rig.call(who=replace(principal("*"), accounts=(ACCOUNT,)))
    assert prioritize(call, rig.ledger, rig.clock.wall_ns()) is None
    return call.priority


async def test_a_threshold_that_is_reached_lowers_the_class_and_one_that_is_not_does_not() -> None:
    assert Classed("batch", lowered=True) == await classed(low_rig(LOWER))
    assert Classed("standard") == await classed(low_rig(LOWER), used=79)


async def test_other_actions_leave_the_class_as_it_is() -> None:
    other = Threshold(at_pct=80, action=ThresholdAction.SUBSTITUTE)

    assert Classed("standard") == await classed(low_rig(other))
    assert Classed("standard") == await classed(low_rig(other, Threshold(at_pct=81, action=LOWER.action)))
    assert Classed("batch", lowered=True) == await classed(low_rig(other, LOWER))


async def test_a_budget_that_is_only_observed_lowers_nothing() -> None:
    assert Classed("standard") == await classed(low_rig(LOWER, observe=True))


async def test_a_budget_across_the_tree_lowers_the_calls_that_it_counts() -> None:
    scope = Scope(kind=ScopeKind.AGENT, value="a1")
    low: Budget = replace(budget("agents", 100, kind=ScopeKind.AGENT, value="a1", thresholds=(LOWER,)), scope=scope)
    rig = Rig(replace(snapshot(), budgets={low.id: low}, tree_budgets=(low,)))
    await rig.ledger.reserve(reservation(1, hold=80, path=[(low.id, "a1")]), rig.clock.wall)
    call = rig.call()

    assert prioritize(call, rig.ledger, rig.clock.wall_ns()) is None
    assert Classed("batch", lowered=True) == call.priority


def naming(rig: Rig, name: str) -> Call:
    call = rig.call(who=replace(principal("*"), priority=Grant("standard", "standard")))
    call.named_priority = name
    return call


@pytest.mark.parametrize(("name", "fault"), [("urgent", Fault.INVALID_REQUEST), ("critical", Fault.PERMISSION_DENIED)])
async def test_a_class_that_may_not_be_named_refuses_the_call_before_anything_is_held(name: str, fault: Fault) -> None:
    rig = Rig()
    with pytest.raises(RouterError) as caught, rig.pipeline.open(naming(rig, name)) as reply:
        await reply.read()
    (settled,) = rig.telemetry.settled

    assert ("x-checkrein-priority", fault) == (caught.value.refusal.param, caught.value.refusal.fault)
    assert (Outcome.REFUSED, None) == (settled.outcome, settled.priority)
    assert [] == rig.upstreams.requests
    with pytest.raises(RouterError):
        rig.pipeline.explain(naming(rig, name))


async def test_the_class_of_a_call_is_on_its_row_and_in_what_is_explained() -> None:
    rig = Rig()
    rig.upstream().feed(chunk("a"), chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)
    body = '{"model":"small","messages":[{"role":"user","content":"hi"}]}'
    call = naming(rig, "batch")
    explained = rig.call(body)
    explained.named_priority = "critical"
    with rig.pipeline.open(call) as reply:
        await reply.read()

    assert ["batch"] == [settled.priority for settled in rig.telemetry.settled]
    assert Classed("critical") == rig.pipeline.explain(explained).priority
