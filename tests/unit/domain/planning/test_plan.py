"""Which deployments may serve a call."""

from router.domain.faults import Fault, Refusal
from router.domain.planning.plan import RoutePlan, plan_route
from tests.support.fakes import principal, snapshot


def test_a_granted_model_is_planned_with_its_deployments() -> None:
    plan = plan_route("small", principal("small"), snapshot())

    assert isinstance(plan, RoutePlan)
    assert ("up/model",) == tuple(deployment.id for deployment in plan.candidates)


def test_an_unknown_model_is_not_found() -> None:
    refusal = plan_route("nothing", principal("*"), snapshot())

    assert isinstance(refusal, Refusal)
    assert (Fault.MODEL_NOT_FOUND, "model") == (refusal.fault, refusal.param)


def test_a_model_that_is_not_granted_is_refused() -> None:
    refusal = plan_route("hidden", principal("small"), snapshot())

    assert isinstance(refusal, Refusal)
    assert Fault.MODEL_NOT_ALLOWED is refusal.fault
