"""Let administrators read the ledger: who may, what the moments they write mean, what they hear while it is away."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from router.domain.faults import Fault, refuse
from router.domain.instants import NS_PER_S
from router.domain.principal import Permission, Principal
from router.ports.ledger import LedgerUnavailable

INSTANT_NS_MAX: Final = (1 << 63) - 1
_UNIX_S: Final = re.compile(r"\d{1,10}(\.\d{1,9})?", re.ASCII)
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def require_reader(caller: Principal) -> None:
    """Raises `RouterError` for a key that may not read the ledger."""
    if Permission.ADMIN not in caller.permissions:
        message = "This key may not read the ledger. Use one with the permission `admin`."
        raise refuse(Fault.PERMISSION_DENIED, message)


@contextmanager
def told() -> Iterator[None]:
    """Tell the caller, by `RouterError`, that the ledger is away."""
    try:
        yield
    except LedgerUnavailable as exc:
        raise refuse(Fault.OVERLOADED, "The ledger cannot be read now. Try again shortly.") from exc


def instant_ns(text: str | None, param: str) -> int | None:
    """Read RFC 3339 or Unix seconds; what no row can reach is brought to the nearest that one can.

    Raises `RouterError`, which names `param`.
    """
    if text is None:
        return None
    if _UNIX_S.fullmatch(text):
        return min(int(Decimal(text) * NS_PER_S), INSTANT_NS_MAX)
    try:
        # An unescaped + of an offset arrives as a space, which no moment has at that place.
        moment = datetime.fromisoformat(text[:11] + text[11:].replace(" ", "+"))
        if moment.tzinfo is None:
            raise ValueError("no offset")
        since_epoch_ns = (moment - _UNIX_EPOCH) // timedelta(microseconds=1) * 1_000
    except (ValueError, OverflowError):
        message = f"`{param}` is no moment. Write 2027-01-31T12:00:00Z, or Unix seconds."
        raise refuse(Fault.INVALID_REQUEST, message, param=param) from None
    return min(max(since_epoch_ns, 0), INSTANT_NS_MAX)
