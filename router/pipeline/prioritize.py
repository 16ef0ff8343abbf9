"""Give a call its priority class, once, before it is planned."""

from router.domain.faults import Refusal
from router.domain.governance.budget import ThresholdAction
from router.domain.governance.priority import class_of_call
from router.pipeline.call import Call
from router.pipeline.path import path_of
from router.ports.ledger import Ledger

_LOWER = ThresholdAction.LOWER_PRIORITY


def prioritize(call: Call, ledger: Ledger, wall_ns: int) -> Refusal | None:
    """Set the class of a call that has passed `screen`; or refuse one that its caller may not name."""
    found = class_of_call(
        call.snapshot.priority_classes,
        call.principal.priority,
        asked=call.named_priority,
        low=bool(call.snapshot.budgets) and _is_low(call, ledger, wall_ns),
    )
    if isinstance(found, Refusal):
        return found
    call.priority = found
    return None


def _is_low(call: Call, ledger: Ledger, wall_ns: int) -> bool:
    """Tell whether a budget on the call's path has reached a threshold that wants a lower class."""
    budgets = call.snapshot.budgets
    for key in path_of(call):
        budget = budgets.get(key[0])
        if budget is None or not budget.thresholds or all(one.action is not _LOWER for one in budget.thresholds):
            continue
        if _LOWER in ledger.standing(key, wall_ns).actions:
            return True
    return False
