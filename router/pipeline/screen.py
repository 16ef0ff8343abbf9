"""Stop a call for what it says about itself, before anything is looked up or held, and count it for whom it names."""

from typing import Final

from router.domain.faults import Fault, Refusal
from router.domain.principal import Bounds
from router.pipeline.call import Call

_UNBOUND: Final = Bounds()


def screen(call: Call) -> Refusal | None:
    """Loops, depth and guardrails have no rule yet."""
    principal, named = call.principal, call.named_user
    if not principal.may_set_attribution and (call.labels.agent or call.labels.tags or named is not None):
        return Refusal(
            fault=Fault.PERMISSION_DENIED,
            message="This key may not name agent, user or tags. Leave these headers out, or ask for the grant.",
        )
    if named is not None and principal.user not in (None, named):
        return Refusal(
            fault=Fault.PERMISSION_DENIED,
            message="This key calls for a user of its own and for nobody else. Leave the header that names one out.",
        )
    return None


def count_for_user(call: Call, named: str) -> None:
    """Put a call that `screen` let pass under the budget and the limits of the user whom it names."""
    if call.principal.user is None:
        snapshot = call.snapshot
        call.principal = call.principal.for_user(named, snapshot.users.get(named, _UNBOUND), snapshot.budgets)
