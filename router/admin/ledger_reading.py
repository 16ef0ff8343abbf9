"""Let administrators read the ledger: who may, and what they hear while it is away."""

from collections.abc import Iterator
from contextlib import contextmanager

from router.domain.faults import Fault, refuse
from router.domain.principal import Permission, Principal
from router.ports.ledger import LedgerUnavailable


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
