"""Decide the priority class of a call: what its caller asks for within what its key may, lower while a budget is low.

Classes are named in order, highest first. A name that is no class any more gives nothing: it stands for the lowest.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from router.domain.faults import Fault, Refusal

HEADER: Final = "x-checkrein-priority"
STANDARD_CLASSES: Final = ("critical", "standard", "batch")


class Grant(NamedTuple):
    """What a key says of the classes of its calls."""

    default: str = "standard"
    """Of calls that name none."""
    highest: str = "critical"
    """That callers may name, beside the default."""


class Classed(NamedTuple):
    """The class of one call."""

    name: str
    lowered: bool = False
    """It is one lower than it would have been: a budget is low."""


def class_of_call(classes: Sequence[str], grant: Grant, *, asked: str | None, low: bool) -> Classed | Refusal:
    """`asked`: what the caller named. `low`: a budget on its path wants a lower class; one is as good as several."""
    lowest = len(classes) - 1
    rank = default = classes.index(grant.default) if grant.default in classes else lowest
    if asked is not None:
        first = min(default, classes.index(grant.highest) if grant.highest in classes else lowest)
        if asked not in classes:
            return Refusal(
                fault=Fault.INVALID_REQUEST,
                message=f"Header `{HEADER}` names no priority class. Use one of {', '.join(classes[first:])}.",
                param=HEADER,
            )
        rank = classes.index(asked)
        if rank < first:
            return Refusal(
                fault=Fault.PERMISSION_DENIED,
                message=f"This key may not name so high a class. Use one of {', '.join(classes[first:])}.",
                param=HEADER,
            )
    lowered = low and rank < lowest
    return Classed(classes[rank + lowered], lowered)
