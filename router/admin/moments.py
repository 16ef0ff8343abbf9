"""Read the moments that administrators name, as their façades bring them."""

from typing import TypeAlias

from router.domain.faults import Fault, refuse
from router.domain.instants import INSTANT_NS_MAX, parse_moment_ns

Moment: TypeAlias = str | int
"""RFC 3339 with an offset or Unix seconds, as they were written; or Unix nanoseconds."""


def moment_ns(moment: Moment | None, param: str) -> int | None:
    """Return Unix nanoseconds; what no row can reach is brought to the nearest that one can.

    Raises `RouterError`, which names `param`.
    """
    if moment is None:
        return None
    if isinstance(moment, int):
        return min(max(moment, 0), INSTANT_NS_MAX)
    try:
        return parse_moment_ns(moment)
    except (ValueError, OverflowError):
        message = f"`{param}` is no moment. Write 2027-01-31T12:00:00Z, or Unix seconds."
        raise refuse(Fault.INVALID_REQUEST, message, param=param) from None
