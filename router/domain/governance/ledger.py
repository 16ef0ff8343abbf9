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
    path = accounts.path(reservation.path) if reservation.path else ()
    answer = accounts.reserve(reservation.id, path, reservation.amounts, wall_ns)
    if reservation.observed and isinstance(answer, Exhausted) and not answer.held:
        crossed = accounts.adopt(reservation.id, path, reservation.amounts, wall_ns)
        answer = replace(answer, held=True, crossed=crossed)
    return answer


def is_held(answer: tuple[Crossed, ...] | Exhausted | Stale) -> bool:
    """Tell whether money is held that somebody asked to hold."""
    return isinstance(answer, tuple) or (isinstance(answer, Exhausted) and answer.held)


def room_of(accounts: Accounts, path: Sequence[AccountKey], wall_ns: int, *, observed: bool = False) -> Room:
    """Return the least that an account of the path has left, of money and of tokens; never below nothing.

    Accounts that are only observed bound nothing. `observed`: as if they were enforced.
    """
    usd: int | None = None
    tokens: int | None = None
    passed_over = False
    for account in accounts.path(path):
        if account.terms.budget.observe and not observed:
            passed_over = True
            continue
        if wall_ns >= account.next_ns:
            account.advance(wall_ns)
        left = account.ceiling - account.posted - account.pending
        if account.unit is Unit.USD:
            if usd is None or left < usd:
                usd = left
        elif account.unit is Unit.TOKENS and (tokens is None or left < tokens):
            tokens = left
    return Room(None if usd is None else max(usd, 0), None if tokens is None else max(tokens, 0), passed_over)


def post(accounts: Accounts, settlement: Settlement) -> tuple[Crossed, ...]:
    """End the reservation of a call with what it spent; a call without one changes nothing."""
    if settlement.spent == NOTHING:
        end = accounts.void(settlement.id)
    else:
        end = accounts.post(settlement.id, settlement.spent)
    return () if isinstance(end, Stale) else end.crossed
