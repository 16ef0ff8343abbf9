"""Decide what a key may see of models and calls, and what is said where it may not: the same through every façade."""

from typing import Final, NamedTuple

from router.domain.catalog import Snapshot
from router.domain.faults import Fault, refuse
from router.domain.ids import ModelName, parse_call_id
from router.domain.principal import Permission, Principal
from router.ports.ledger import CallHistory, CallRecord, LedgerUnavailable

_NO_CALL: Final = "No call of this key has this id. Take it from the `x-checkrein-call` header of a reply."


class ShownModel(NamedTuple):
    """A model as callers see it."""

    name: ModelName
    owners: tuple[str, ...]
    """Its providers, by name."""
    created_s: int
    """Since when it is configured so, in Unix seconds."""


def models_for(caller: Principal, snapshot: Snapshot) -> list[ShownModel]:
    """Return the models that a key may use, by name."""
    return [_shown(snapshot, name) for name in sorted(snapshot.models) if caller.may_use(name)]


def model_for(caller: Principal, snapshot: Snapshot, model: str) -> ShownModel:
    """Return one model that a key may use. Raises `RouterError`."""
    name = ModelName(model)
    if name not in snapshot.models or not caller.may_use(name):
        message = f"The model {model!r} does not exist for this key. See GET /v1/models."
        raise refuse(Fault.MODEL_NOT_FOUND, message, param="model")
    return _shown(snapshot, name)


async def call_for(caller: Principal, history: CallHistory, call_id: str) -> CallRecord:
    """Return a call of the key, or any call for a key that administers. Raises `RouterError`."""
    number = parse_call_id(call_id)
    try:
        record = None if number is None else await history.read_call(number)
    except LedgerUnavailable as exc:
        raise refuse(Fault.OVERLOADED, "The ledger cannot be read now. Try again shortly.") from exc
    if record is None or (record.key_id != caller.key_id and Permission.ADMIN not in caller.permissions):
        raise refuse(Fault.NOT_FOUND, _NO_CALL)
    return record


def _shown(snapshot: Snapshot, name: ModelName) -> ShownModel:
    owners = sorted({deployment.provider for deployment in snapshot.models[name].deployments})
    return ShownModel(name, tuple(owners), snapshot.created_s)
