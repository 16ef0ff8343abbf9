"""Which model a caller means."""

import dataclasses

import pytest

from router.domain.catalog import Deployment, Model
from router.domain.dialects.dialect import Dialect
from router.domain.faults import Fault, Refusal
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.planning.plan import default_model, resolve_model
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


def moderating(name: str, upstream_model: str = "m", *dialects: Dialect) -> Model:
    deployment = Deployment(
        id=DeploymentId(name),
        provider=ProviderId("up"),
        upstream_model=upstream_model,
        dialects=frozenset(dialects or {Dialect.CHAT, Dialect.MODERATIONS}),
    )
    return Model(name=ModelName(name), deployments=(deployment,))


@pytest.mark.parametrize(
    ("models", "found"),
    [
        ((moderating("a"),), "a"),
        ((moderating("a"), moderating("omni-moderation")), "omni-moderation"),
        ((moderating("a"), moderating("safe", "text-moderation-latest")), "safe"),
        ((moderating("a"), moderating("moderation", "m", Dialect.CHAT)), "a"),
        ((moderating("a"), moderating("b")), None),
        ((moderating("moderation-1"), moderating("moderation-2"), moderating("a")), None),
        ((moderating("a", "m", Dialect.CHAT),), None),
    ],
)
def test_a_call_without_a_model_goes_to_the_one_that_is_made_for_it(
    models: tuple[Model, ...], found: str | None
) -> None:
    known = dataclasses.replace(snapshot(), models={model.name: model for model in models})
    chosen = default_model(Dialect.MODERATIONS, principal("*"), known)

    if found is None:
        assert isinstance(chosen, Refusal)
        assert ("model", Fault.INVALID_REQUEST) == (chosen.param, chosen.fault)
    else:
        assert found == chosen


def test_a_model_that_is_not_granted_goes_without_saying_for_nobody() -> None:
    known = dataclasses.replace(snapshot(), models={ModelName("a"): moderating("a")})

    assert isinstance(default_model(Dialect.MODERATIONS, principal("b"), known), Refusal)
