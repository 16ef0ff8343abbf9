"""Decide which deployments may serve a call, in which order."""

import msgspec

from router.domain.catalog import Deployment, Model, Snapshot
from router.domain.faults import Fault, Refusal
from router.domain.principal import Principal


class RoutePlan(msgspec.Struct, frozen=True, kw_only=True):
    """At least one candidate, best first."""

    model: Model
    candidates: tuple[Deployment, ...]


def plan_route(asked: str, principal: Principal, snapshot: Snapshot) -> RoutePlan | Refusal:
    """Resolve the name that the caller used. A model that exists but is not granted is told apart from none."""
    model = snapshot.find_model(asked)
    if model is None:
        return Refusal(
            fault=Fault.MODEL_NOT_FOUND,
            message=f"The model {asked!r} does not exist here. See GET /v1/models for the models of your key.",
            param="model",
        )
    if not principal.may_use(model.name):
        return Refusal(
            fault=Fault.MODEL_NOT_ALLOWED,
            message=f"This key may not use the model {asked!r}. See GET /v1/models, or ask for the grant.",
            param="model",
        )
    return RoutePlan(model=model, candidates=model.deployments)
