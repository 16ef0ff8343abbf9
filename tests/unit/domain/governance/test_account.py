"""An account sums what counts in its window and knows what comes next; what changes it is tested with `accounts`."""

from dataclasses import replace
from datetime import UTC

from router.domain.governance.account import Account, Terms
from router.domain.governance.budget import (
    Amounts,
    Budget,
    BudgetId,
    Scope,
    ScopeKind,
    Threshold,
    ThresholdAction,
    TopUp,
    Unit,
)
from router.domain.governance.windows import Calendar, CalendarUnit, Rolling, Window

S = 10**9
HOUR_NS = 3_600 * S
HOURLY = Calendar(unit=CalendarUnit.HOUR, zone=UTC)
HALF = Threshold(at_pct=50, action=ThresholdAction.NOTIFY)


def terms(limit: int = 100, window: Window = HOURLY) -> Terms:
    scope = Scope(kind=ScopeKind.KEY)
    return Terms(
        Budget(id=BudgetId("b"), scope=scope, unit=Unit.TOKENS, limit=limit, window=window, thresholds=(HALF,))
    )


def used(window: Window = HOURLY, at_ns: int = 10 * HOUR_NS) -> Account:
    account = terms(window=window).account("k")
    account.advance(at_ns)
    return account


def test_a_value_has_one_account_for_good() -> None:
    of = terms()

    assert of.account("k") is of.account("k")
    assert of.account("k") is not of.account("l")


def test_a_bucket_says_where_its_money_is() -> None:
    account = used()

    assert ("b", "k", 10 * HOUR_NS, Amounts._fields.index("tokens")) == account.bucket.booking


def test_a_bucket_adds_to_its_account_only_while_it_counts() -> None:
    account = used()
    early, late = account.keep(9 * HOUR_NS), account.bucket
    early.add(1, 2)
    late.add(10, 20)

    assert ((1, 2), (10, 20)) == ((early.posted, early.pending), (late.posted, late.pending))
    assert (10, 20) == (account.posted, account.pending)
    account.refresh()
    assert (10, 20) == (account.posted, account.pending)


def test_an_account_moves_on_at_the_end_of_its_bucket_and_keeps_what_is_held() -> None:
    account = used()
    account.bucket.add(5, 6)
    account.keep(9 * HOUR_NS).add(1, 0)

    assert 11 * HOUR_NS == account.next_ns
    account.advance(11 * HOUR_NS)
    assert (0, 0) == (account.posted, account.pending)
    assert [10 * HOUR_NS, 11 * HOUR_NS] == sorted(account.buckets)


def test_a_rolling_window_counts_its_60_buckets() -> None:
    account = used(Rolling(span_ns=60 * S), at_ns=100 * S)
    for second in range(30, 101):
        account.keep(second * S).add(1, 0)

    assert 60 == account.posted
    assert 41 * S == account.floor_ns


def test_a_top_up_ends_without_a_new_bucket() -> None:
    account = used()
    account.terms.budget = replace(account.terms.budget, top_ups=(TopUp(amount=50, until_ns=10 * HOUR_NS + S),))
    account.terms.refresh()

    assert (150, 10 * HOUR_NS + S) == (account.limit, account.next_ns)
    account.advance(10 * HOUR_NS + S)
    assert (100, 11 * HOUR_NS) == (account.limit, account.next_ns)


def test_the_next_threshold_is_at_hand_and_is_crossed_once() -> None:
    account = used()
    assert 50 == account.alert_at
    account.bucket.add(50, 0)

    assert [50] == [one.at_pct for one in account.cross()]
    assert () == account.cross()
    assert account.alert_at > 2**63


def test_a_standing_says_what_is_left_and_when_the_oldest_money_leaves() -> None:
    account = used()
    account.bucket.add(30, 40)
    standing = account.standing()

    assert (70, 30, 11 * HOUR_NS) == (standing.used_pct, standing.room, standing.resets_at_ns)


def test_an_account_is_reset_when_its_money_leaves_and_not_when_an_empty_part_does() -> None:
    """Somebody looked at the account (a moment of no money) an hour before the first call."""
    account = used(Rolling(span_ns=60 * HOUR_NS), 9 * HOUR_NS)
    account.advance(10 * HOUR_NS)
    account.bucket.add(1, 0)

    assert 70 * HOUR_NS == account.state().resets_at_ns == account.standing().resets_at_ns
