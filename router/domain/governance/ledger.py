"""Apply reservations and settlements to accounts: what every ledger does, wherever it keeps its rows. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from router.domain.governance.account import AccountKey
from router.domain.governance.accounts import Accounts
from router.domain.governance.budget import NOTHING, Crossed, Exhausted, Stale, Unit
from router.domain.governance.sizing import Room
from router.domain.settlement import Reservation, Settlement


def hold(accounts: Accounts, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
    """Hold what a call may use, or say which account has no room. An observed call is told so and holds it anyway."""
    path = accounts.path(reservation.path)
    answer = accounts.reserve(reservation.id, path, reservation.amounts, wall_ns)
    if isinstance(answer, Exhausted) and reservation.observed:
        answer = replace(answer, crossed=accounts.adopt(reservation.id, path, reservation.amounts, wall_ns))
    return answer


def room_of(accounts: Accounts, path: Sequence[AccountKey], wall_ns: int) -> Room:
    """Return the least that an account of the path has left, of money and of tokens; never below nothing."""
    usd: int | None = None
    tokens: int | None = None
    for account in accounts.path(path):
        if wall_ns >= account.next_ns:
            account.advance(wall_ns)
        left = account.ceiling - account.posted - account.pending
        if account.unit is Unit.USD:
            if usd is None or left < usd:
                usd = left
        elif account.unit is Unit.TOKENS and (tokens is None or left < tokens):
            tokens = left
    return Room(None if usd is None else max(usd, 0), None if tokens is None else max(tokens, 0))


def post(accounts: Accounts, settlement: Settlement) -> tuple[Crossed, ...]:
    """End the reservation of a call with what it spent; a call without one changes nothing."""
    if settlement.spent == NOTHING:
        end = accounts.void(settlement.id)
    else:
        end = accounts.post(settlement.id, settlement.spent)
    return () if isinstance(end, Stale) else end.crossed
