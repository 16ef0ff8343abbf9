"""Which model a caller means."""

from router.domain.catalog import Model
from router.domain.faults import Fault, Refusal
from router.domain.planning.plan import resolve_model
from tests.support.fakes import principal, snapshot


def test_a_granted_model_is_found_with_its_deployments() -> None:
    model = resolve_model("small", principal("small"), snapshot())

    assert isinstance(model, Model)
    assert ("up/model",) == tuple(deployment.id for deployment in model.deployments)


def test_an_unknown_model_is_not_found() -> None:
    refusal = resolve_model("nothing", principal("*"), snapshot())

    assert isinstance(refusal, Refusal)
    assert (Fault.MODEL_NOT_FOUND, "model") == (refusal.fault, refusal.param)


def test_a_model_that_is_not_granted_is_refused() -> None:
    refusal = resolve_model("hidden", principal("small"), snapshot())

    assert isinstance(refusal, Refusal)
    assert Fault.MODEL_NOT_ALLOWED is refusal.fault
