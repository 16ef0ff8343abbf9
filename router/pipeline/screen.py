"""Stop a call early for what it is: loops, depth, fan-out, guardrails. No rule is in force yet; all calls pass."""

from router.domain.faults import Refusal
from router.pipeline.call import Call


def screen(_call: Call) -> Refusal | None:
    """Return the reason to stop, or None. Charges and holds nothing."""
    return None
