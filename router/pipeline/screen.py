"""Stop a call for what it says about itself, before anything is looked up or held."""

from router.domain.faults import Fault, Refusal
from router.pipeline.call import Call


def screen(call: Call) -> Refusal | None:
    """Loops, depth and guardrails have no rule yet."""
    if not call.principal.may_set_attribution and (call.labels.agent or call.labels.tags):
        return Refusal(
            fault=Fault.PERMISSION_DENIED,
            message="This key may not name agent or tags. Leave these headers out, or ask for the grant.",
        )
    return None
