"""Guard the cost of choosing among several deployments by counting Python calls, as `test_counted_work.py` does."""

import sys
from dataclasses import replace

import pytest

from router.domain.catalog import Model
from router.domain.ids import DeploymentId, ModelName
from router.domain.planning.plan import RoutePlan
from tests.support.fakes import deployment, snapshot
from tests.support.pipeline import Rig
from tests.unit.test_counted_work import Work

OPENING = '{"model":"eight","messages":[{"role":"system","content":"Be terse."},{"role":"user","content":"hi"}]}'
NAMED = OPENING[:-1] + ',"prompt_cache_key":"k"}'
TURN = OPENING[:-2] + ',{"role":"assistant","content":"yes?"},{"role":"user","content":"more"}]}'


def among(number: int) -> Rig:
    deployments = tuple(replace(deployment(), id=DeploymentId(f"up/{one}")) for one in range(number))
    eight = Model(name=ModelName("eight"), deployments=deployments)
    rig = Rig(replace(snapshot(), models={eight.name: eight}))
    rig.pipeline.means.breakers.follow(rig.snapshots.current.breaker, deployments)
    return rig


def calls_of_a_plan(rig: Rig, body: str) -> Work:
    """Count what a plan takes in a conversation that is known, once all is warm."""
    planner, call, work = rig.pipeline.planner, rig.call(body), Work()
    plan = planner.plan(call)
    assert isinstance(plan, RoutePlan)
    call.plan = plan
    planner.sent(call, plan.candidates[-1], rig.clock.monotonic_ns())
    planner.plan(call)
    sys.setprofile(work.watch)
    try:
        planner.plan(call)
    finally:
        sys.setprofile(None)
    return work


@pytest.mark.parametrize(("body", "most"), [(OPENING, 33), (NAMED, 35), (TURN, 37)], ids=["opening", "named", "turn"])
def test_a_plan_over_eight_by_weight_does_no_more_than_it_did(body: str, most: int) -> None:
    work = calls_of_a_plan(among(8), body)

    assert work.python_calls <= most, work.by_function.most_common()


def test_each_further_deployment_costs_a_plan_one_call() -> None:
    eight, sixteen = calls_of_a_plan(among(8), OPENING), calls_of_a_plan(among(16), OPENING)

    assert 8 == sixteen.python_calls - eight.python_calls, sixteen.by_function.most_common()
