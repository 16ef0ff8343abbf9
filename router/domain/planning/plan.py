"""Say which model a caller means, and what was decided about where its call goes."""

from collections.abc import Sequence

import msgspec

from router.domain.catalog import Deployment, Model, Snapshot
from router.domain.dialects.dialect import Dialect
from router.domain.faults import Fault, Refusal
from router.domain.ids import ModelName, ProviderId, TargetId
from router.domain.planning.affinity import Conversation
from router.domain.planning.directives import NO_DIRECTIVES, Directives
from router.domain.planning.eligibility import Dropped, DropReason
from router.domain.planning.prefix import Chain
from router.domain.planning.substitution import Reason
from router.domain.principal import Principal


class RoutePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call may go, and what the choice went by."""

    asked: Model
    """What the caller's name means."""
    model: Model
    """That, or its stand-in."""
    stands_in: Reason | None = None
    """Why there is a stand-in."""
    candidates: Sequence[Deployment]
    """Best first. Empty: nobody can serve it now, and its fallbacks are next."""
    dropped: Sequence[Dropped] = ()
    """Who is no candidate, or set back to the end of them."""
    spared: frozenset[TargetId] = frozenset()
    """Candidates that are slow or fail at times, kept because most of the model's deployments are out."""
    home: ProviderId | None = None
    """Whose the conversation is, as far as we know: what it wrote for itself is not sent to another provider."""
    pinned: TargetId | None = None
    """Where its conversation was, if it is known to go on."""
    stored: bool = False
    """It builds on what is stored at its candidates: no other model can go on from there."""
    directives: Directives = NO_DIRECTIVES
    conversation: Conversation | None = None
    chain: Chain = ()


def resolve_model(asked: str, principal: Principal, snapshot: Snapshot) -> Model | Refusal:
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
    return model


def default_model(dialect: Dialect, principal: Principal, snapshot: Snapshot) -> ModelName | Refusal:
    """Choose the model of a call that names none: the only one that the key may use and that is made for its route.

    A provider has a route for all of its models; which of them is made for it, the model's name says.
    """
    able = [
        model
        for name, model in sorted(snapshot.models.items())
        if principal.may_use(name) and any(dialect in one.dialects for one in model.deployments)
    ]
    stem = dialect.value.rstrip("s")
    made = [one for one in able if any(stem in name for name in (one.name, *_upstream_models(one)))]
    found = made or able
    if len(found) == 1:
        return found[0].name
    which = "several models could" if found else "no model of this key can"
    return Refusal(
        fault=Fault.INVALID_REQUEST,
        message=f"The request names no `model`, and {which} serve it. Name one; see GET /v1/models for yours.",
        param="model",
    )


def _upstream_models(model: Model) -> list[str]:
    return [one.upstream_model for one in model.deployments]


def nobody(plan: RoutePlan) -> Refusal | None:
    """Say why nobody can serve a call, where that is about the call and not about the moment."""
    if plan.candidates or any(one.reason in (DropReason.RESTING, DropReason.FULL) for one in plan.dropped):
        return None
    lacking = sorted({str(one.detail) for one in plan.dropped if one.reason is DropReason.CAPABILITY})
    if lacking:
        return Refusal(
            fault=Fault.CAPABILITY_MISSING,
            message=f"No deployment of {plan.model.name!r} can do what the request needs: {'; '.join(lacking)}.",
            param="model",
        )
    if any(one.reason is DropReason.DIALECT for one in plan.dropped):
        return Refusal(
            fault=Fault.CAPABILITY_MISSING,
            message=f"No deployment of {plan.model.name!r} can be asked on this route. Use another.",
            param="model",
        )
    return Refusal(
        fault=Fault.CONTEXT_LENGTH_EXCEEDED,
        message=f"The request seems longer than any deployment of {plan.model.name!r} can read. Send less.",
        param="messages",
    )
