"""What every ledger does to accounts: it holds, observes, posts and voids, and says how much room there is."""

from dataclasses import replace

import pytest

from router.domain.governance.account import AccountKey
from router.domain.governance.accounts import Accounts
from router.domain.governance.budget import NOTHING, Amounts, BudgetId, Exhausted, State, Unit
from router.domain.governance.ledger import hold, post, room_of
from router.domain.governance.sizing import Room
from router.domain.settlement import Reservation
from tests.support.ledger_facts import STARTED_NS, budget, reservation, settlement

PATH = (("key", "k"), ("wide", "w"))


@pytest.fixture
def accounts() -> Accounts:
    return Accounts([budget("key", 100), budget("wide", 50), budget("tokens", 9, unit=Unit.TOKENS)])


def wanted(number: int, usd: int, *, observed: bool = False) -> Reservation:
    return reservation(number, hold=usd, path=PATH, observed=observed)


def keys(*path: tuple[str, str]) -> list[AccountKey]:
    return [(BudgetId(name), value) for name, value in path]


def sums(accounts: Accounts) -> list[tuple[int, int]]:
    return [(account.posted, account.pending) for account in accounts.path(keys(*PATH))]


def test_a_call_holds_in_all_accounts_of_its_path_or_in_none(accounts: Accounts) -> None:
    assert () == hold(accounts, wanted(1, 40), STARTED_NS)
    assert isinstance(hold(accounts, wanted(2, 11), STARTED_NS), Exhausted)

    assert [(0, 40), (0, 40)] == sums(accounts)
    assert [State.PENDING, State.REFUSED] == [accounts.find(1), accounts.find(2)]


def test_an_observed_call_holds_whether_it_fits_or_not(accounts: Accounts) -> None:
    assert () == hold(accounts, wanted(1, 40, observed=True), STARTED_NS)
    refusal = hold(accounts, wanted(2, 11, observed=True), STARTED_NS)

    assert isinstance(refusal, Exhausted)
    assert ("wide", 40, 11) == (refusal.budget, refusal.reserved, refusal.wanted)
    assert [(0, 51), (0, 51)] == sums(accounts)


def test_a_refused_call_may_come_again_as_an_observed_one(accounts: Accounts) -> None:
    first = hold(accounts, wanted(1, 51), STARTED_NS)

    assert isinstance(first, Exhausted)
    assert replace(first, held=True) == hold(accounts, wanted(1, 51, observed=True), STARTED_NS)
    assert [(0, 51), (0, 51)] == sums(accounts)


def test_an_end_posts_what_was_spent(accounts: Accounts) -> None:
    hold(accounts, wanted(1, 40), STARTED_NS)

    assert () == post(accounts, settlement(1, spent=Amounts(usd=45)))
    assert [(45, 0), (45, 0)] == sums(accounts)
    assert () == post(accounts, settlement(1, spent=Amounts(usd=1)))
    assert [(45, 0), (45, 0)] == sums(accounts)
    assert State.POSTED is accounts.find(1)


def test_an_end_that_spent_nothing_voids(accounts: Accounts) -> None:
    hold(accounts, wanted(1, 40), STARTED_NS)
    post(accounts, settlement(1, spent=NOTHING))

    assert [(0, 0), (0, 0)] == sums(accounts)
    assert State.VOIDED is accounts.find(1)


def test_a_call_without_a_reservation_changes_nothing(accounts: Accounts) -> None:
    assert () == post(accounts, settlement(1, spent=Amounts(usd=5)))
    assert State.UNKNOWN is accounts.find(1)


def test_room_is_that_of_the_fullest_account_of_each_unit_and_never_below_nothing(accounts: Accounts) -> None:
    hold(accounts, wanted(1, 10), STARTED_NS)

    assert Room(None, None) == room_of(accounts, [], STARTED_NS)
    assert Room(40, None) == room_of(accounts, keys(*PATH), STARTED_NS)
    assert Room(None, 9) == room_of(accounts, keys(("tokens", "k")), STARTED_NS)
    hold(accounts, wanted(2, 90, observed=True), STARTED_NS)
    assert Room(0, 9) == room_of(accounts, keys(*PATH, ("tokens", "k")), STARTED_NS)
