"""Money is never overspent, lost or counted twice: by example, and against a model that sums every operation anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from router.domain.governance import accounts as module
from router.domain.governance.accounts import ENDED_MAX, NO_HOLD, OTHER, Account, AccountKey, Accounts
from router.domain.governance.budget import (
    EACH,
    NOTHING,
    Amounts,
    Budget,
    BudgetId,
    Crossed,
    Elsewhere,
    Exhausted,
    Scope,
    ScopeKind,
    Settled,
    Stale,
    State,
    Threshold,
    ThresholdAction,
    TopUp,
    Unit,
)
from router.domain.governance.windows import (
    Calendar,
    CalendarUnit,
    Lifetime,
    Rolling,
    Window,
    bucket_at,
    counted_from,
)

S: Final = 10**9
BERLIN: Final = ZoneInfo("Europe/Berlin")
MONTH: Final = Calendar(unit=CalendarUnit.MONTH, zone=BERLIN)
DAY: Final = Calendar(unit=CalendarUnit.DAY, zone=BERLIN)
HOUR: Final = Calendar(unit=CalendarUnit.HOUR, zone=UTC)
MINUTE: Final = Rolling(span_ns=60 * S)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * S


NOW: Final = at("2024-01-31T12:00:00+01:00")


def budget(
    name: str,
    limit: int,
    *,
    kind: ScopeKind = ScopeKind.KEY,
    value: str = EACH,
    window: Window = MONTH,
    unit: Unit = Unit.USD,
    thresholds: tuple[Threshold, ...] = (),
) -> Budget:
    return Budget(
        id=BudgetId(name),
        scope=Scope(kind=kind, value=value),
        unit=unit,
        limit=limit,
        window=window,
        thresholds=thresholds,
    )


def usd(amount: int) -> Amounts:
    return Amounts(usd=amount)


def single(limit: int, window: Window = MONTH, *thresholds: Threshold) -> tuple[Accounts, Account]:
    accounts = Accounts([budget("b", limit, window=window, thresholds=thresholds)])
    return accounts, accounts.of(BudgetId("b"), "k")


def pair(narrow: int, wide: int) -> tuple[Accounts, list[Account]]:
    accounts = Accounts([budget("key", narrow), budget("team", wide, kind=ScopeKind.TEAM)])
    return accounts, [accounts.of(BudgetId("key"), "k"), accounts.of(BudgetId("team"), "t")]


def sums(*path: Account) -> list[tuple[int, int]]:
    return [(account.posted, account.pending) for account in path]


def topped_up(one: Budget, *top_ups: TopUp) -> Budget:
    return replace(one, top_ups=top_ups)


# --- looking ---


def test_accounts_are_shown_in_order_from_a_place_on_and_up_to_a_bound() -> None:
    accounts = Accounts([budget("b", 50), budget("a", 50), budget("c", 70, value="only"), budget("d", 1)])
    path = [accounts.of(BudgetId(name), value) for name, value in (("b", "y"), ("b", "x"), ("a", "z"), ("d", "x"))]
    accounts.reserve(1, path[:3], usd(5), NOW)
    accounts.replace_budget(topped_up(budget("b", 50), TopUp(amount=25, until_ns=NOW + S)))
    named = [BudgetId(name) for name in ("c", "b", "a", "never")]
    states = accounts.states(named, (BudgetId(""), ""), 9, NOW)
    later = accounts.states(named, (BudgetId("a"), "z"), 2, NOW + S)

    assert [("a", "z", 50, 0, 5), ("b", "x", 75, 0, 5), ("b", "y", 75, 0, 5), ("c", "only", 70, 0, 0)] == [
        (one.budget.id, one.value, one.limit, one.used, one.reserved) for one in states
    ]
    assert {at("2024-02-01T00:00:00+01:00")} == {one.resets_at_ns for one in states}
    assert [("x", 50), ("y", 50)] == [(one.value, one.limit) for one in later]


# --- holding ---


def test_exactly_as_many_as_fit_are_admitted() -> None:
    accounts, account = single(100)
    answers = [accounts.reserve(rid, [account], usd(10), NOW) for rid in range(200)]

    assert [()] * 10 == answers[:10]
    assert all(isinstance(answer, Exhausted) for answer in answers[10:])
    assert [(0, 100)] == sums(account)


def test_a_refusal_names_the_narrowest_account_that_is_full_and_when_it_resets() -> None:
    accounts, path = pair(100, 100)
    accounts.reserve(1, path, usd(30), NOW)
    accounts.post(1, usd(40))
    accounts.reserve(2, path, usd(50), NOW)

    assert Exhausted(
        budget=BudgetId("key"),
        scope=Scope(kind=ScopeKind.KEY, value="k"),
        unit=Unit.USD,
        limit_value=100,
        used=40,
        reserved=50,
        wanted=11,
        resets_at_ns=at("2024-02-01T00:00+01:00"),
    ) == accounts.reserve(3, path, usd(11), NOW)


def test_a_refusal_by_a_wide_account_leaves_the_narrow_ones_untouched() -> None:
    accounts, path = pair(100, 50)
    refusal = accounts.reserve(1, path, usd(51), NOW)

    assert isinstance(refusal, Exhausted)
    assert "team" == refusal.budget
    assert [(0, 0), (0, 0)] == sums(*path)
    assert () == accounts.reserve(2, path, usd(50), NOW)


def test_each_account_takes_the_amount_of_its_own_unit() -> None:
    accounts = Accounts([budget(unit, 100, unit=unit) for unit in Unit])
    path = [accounts.of(BudgetId(unit), "k") for unit in Unit]

    accounts.reserve(1, path, Amounts(usd=1, tokens=2, requests=3, seconds=4), NOW)

    assert [1, 2, 3, 4] == [account.pending for account in path]


def test_the_same_id_again_gets_the_same_answer_and_holds_nothing_more() -> None:
    accounts, account = single(100)

    assert () == accounts.reserve(1, [account], usd(60), NOW)
    refusal = accounts.reserve(2, [account], usd(60), NOW)
    assert () == accounts.reserve(1, [account], usd(60), NOW)
    accounts.void(1)

    assert isinstance(refusal, Exhausted)
    assert refusal is accounts.reserve(2, [account], usd(60), NOW)
    assert () == accounts.reserve(1, [account], usd(60), NOW)
    assert [(0, 0)] == sums(account)


def test_an_account_that_a_path_names_twice_is_charged_twice_or_not_at_all() -> None:
    accounts, account = single(100)

    assert isinstance(accounts.reserve(1, [account, account], usd(60), NOW), Exhausted)
    assert [(0, 0)] == sums(account)
    assert () == accounts.reserve(2, [account, account], usd(50), NOW)
    assert [(0, 100)] == sums(account)
    accounts.post(2, usd(20))
    assert [(40, 0)] == sums(account)


def test_an_amount_below_zero_is_a_bug_and_changes_nothing() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(10), NOW)

    with pytest.raises(AssertionError):
        accounts.reserve(2, [account], usd(-1), NOW)
    with pytest.raises(AssertionError):
        accounts.post(1, usd(-1))
    assert [(0, 10)] == sums(account)
    assert [State.PENDING, State.UNKNOWN] == [accounts.find(1), accounts.find(2)]


def test_an_extension_is_held_in_all_accounts_or_in_none() -> None:
    accounts, path = pair(100, 50)
    accounts.reserve(1, path, usd(40), NOW)

    assert () == accounts.extend(1, usd(10), NOW)
    assert isinstance(accounts.extend(1, usd(1), NOW), Exhausted)
    assert [(0, 50), (0, 50)] == sums(*path)
    accounts.void(1)
    assert [(0, 0), (0, 0)] == sums(*path)
    assert Stale(state=State.VOIDED) == accounts.extend(1, usd(1), NOW)


def test_a_reservation_that_is_withdrawn_was_never_made() -> None:
    accounts = Accounts([budget("key", 100, thresholds=(CHEAPER,)), budget("team", 100, kind=ScopeKind.TEAM)])
    path = accounts.path([(BudgetId("key"), "k"), (BudgetId("team"), "t")])
    accounts.reserve(1, path, usd(70), NOW)
    assert () != accounts.reserve(2, path, usd(20), NOW)
    accounts.withdraw(2)

    assert State.UNKNOWN is accounts.find(2)
    assert [(0, 70), (0, 70)] == sums(*path)
    assert [] == accounts.touched()
    assert () != accounts.reserve(2, path, usd(20), NOW)  # the threshold is crossed again


# --- ending ---


def test_what_is_posted_is_what_was_spent_and_the_rest_comes_back() -> None:
    accounts, path = pair(100, 100)
    accounts.reserve(1, path, usd(80), NOW)

    assert Settled(state=State.POSTED) == accounts.post(1, usd(30))
    assert [(30, 0), (30, 0)] == sums(*path)


def test_more_spent_than_held_is_posted_all_the_same_and_told() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(80), NOW)

    assert Settled(state=State.POSTED, overrun=usd(70)) == accounts.post(1, Amounts(usd=150))
    assert [(150, 0)] == sums(account)
    assert isinstance(accounts.reserve(2, [account], usd(0), NOW), Exhausted)


def test_a_void_posts_nothing_and_an_expiry_posts_the_hold() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(20), NOW)
    accounts.reserve(2, [account], usd(30), NOW)
    accounts.extend(2, usd(5), NOW)

    assert Settled(state=State.VOIDED) == accounts.void(1)
    assert Settled(state=State.EXPIRED) == accounts.expire(2)
    assert [(35, 0)] == sums(account)


@pytest.mark.parametrize("first", ["post", "void", "expire"])
@pytest.mark.parametrize("second", ["post", "void", "expire"])
def test_a_second_end_changes_nothing_and_says_so(first: str, second: str) -> None:
    accounts, account = single(100)
    ends: dict[str, Callable[[], Settled | Stale]] = {
        "post": lambda: accounts.post(1, usd(7)),
        "void": lambda: accounts.void(1),
        "expire": lambda: accounts.expire(1),
    }
    accounts.reserve(1, [account], usd(20), NOW)
    settled = ends[first]()
    before = sums(account)

    assert Stale(state=settled.state) == ends[second]()
    assert before == sums(account)


def test_what_was_never_reserved_or_was_refused_cannot_end() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(101), NOW)

    assert Stale(state=State.REFUSED) == accounts.post(1, usd(5))
    assert Stale(state=State.UNKNOWN) == accounts.expire(2)
    assert [(0, 0)] == sums(account)


def test_ended_reservations_are_forgotten_at_a_bound_and_pending_ones_never() -> None:
    accounts, account = single(100)
    accounts.reserve(0, [account], usd(1), NOW)
    for rid in range(1, ENDED_MAX + 2):
        accounts.reserve(rid, [account], usd(1), NOW)
        accounts.void(rid)

    assert [State.PENDING, State.UNKNOWN, State.VOIDED] == [accounts.find(rid) for rid in (0, 1, 2)]
    assert ENDED_MAX == len(accounts._ended)


# --- windows ---


def test_money_is_posted_to_the_month_that_admitted_it() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(90), at("2024-01-31T23:59:59+01:00"))
    february = at("2024-02-01T00:00+01:00")

    assert () == accounts.reserve(2, [account], usd(100), february)
    assert [(0, 100)] == sums(account)
    assert () == accounts.extend(1, usd(10), february)
    refusal = accounts.extend(1, usd(1), february)
    assert isinstance(refusal, Exhausted)
    assert (0, 100, None) == (refusal.used, refusal.reserved, refusal.resets_at_ns)
    accounts.post(1, usd(95))
    accounts.post(2, usd(5))

    assert [(5, 0)] == sums(account)
    assert [
        (("b", "k"), at("2024-01-01T00:00+01:00"), 95),
        (("b", "k"), february, 5),
    ] == accounts.touched()


def test_an_old_bucket_is_dropped_when_nothing_in_it_is_held() -> None:
    accounts, account = single(100, HOUR)
    for hour in range(50):
        accounts.reserve(hour, [account], usd(1), NOW + hour * 3_600 * S)
    assert 50 == len(account.buckets)
    for hour in range(50):
        accounts.post(hour, usd(1))

    assert 1 == len(account.buckets)
    accounts.state_of(account, NOW + 100 * 3_600 * S)
    assert 1 == len(account.buckets)


@pytest.mark.parametrize(
    ("end", "before"),
    [
        ("2024-03-01T00:00+01:00", "2024-02-29T23:59:59+01:00"),
        ("2025-03-01T00:00+01:00", "2025-02-28T23:59:59+01:00"),
        ("2024-04-01T00:00+02:00", "2024-03-31T23:59:59+02:00"),
    ],
)
def test_a_month_starts_at_nothing_whatever_the_last_one_held(end: str, before: str) -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(100), at(before))

    refusal = accounts.reserve(2, [account], usd(1), at(before))
    assert isinstance(refusal, Exhausted)
    assert at(end) == refusal.resets_at_ns
    assert () == accounts.reserve(3, [account], usd(100), at(end))


def test_money_leaves_a_rolling_window_bucket_by_bucket() -> None:
    accounts, account = single(100, MINUTE)
    for second, amount in ((0, 30), (10, 50), (20, 20)):
        accounts.reserve(second, [account], usd(amount), NOW + second * S)
        accounts.post(second, usd(amount))

    refusal = accounts.reserve(98, [account], usd(40), NOW + 59 * S)
    assert isinstance(refusal, Exhausted)
    assert NOW + 70 * S == refusal.resets_at_ns
    assert () == accounts.reserve(99, [account], usd(30), NOW + 60 * S)
    assert [(70, 30)] == sums(account)
    accounts.state_of(account, NOW + 80 * S)
    assert [(0, 30)] == sums(account)


def test_a_clock_that_steps_back_neither_frees_nor_loses_money() -> None:
    accounts, account = single(100)
    february = at("2024-02-01T00:00+01:00")
    accounts.reserve(1, [account], usd(60), february)
    accounts.reserve(2, [account], usd(40), february - S)

    assert [(0, 100)] == sums(account)
    assert isinstance(accounts.reserve(3, [account], usd(1), february - 1_000 * S), Exhausted)
    accounts.post(2, usd(40))
    assert [(("b", "k"), february, 40)] == accounts.touched()


# --- limits that change ---


def test_a_lowered_limit_refuses_what_comes_and_leaves_what_is_open() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(80), NOW)
    accounts.replace_budget(budget("b", 50))

    assert isinstance(accounts.reserve(2, [account], usd(1), NOW), Exhausted)
    assert isinstance(accounts.extend(1, usd(1), NOW), Exhausted)
    assert -30 == accounts.state_of(account, NOW).room
    assert Settled(state=State.POSTED) == accounts.post(1, usd(80))
    accounts.replace_budget(budget("b", 81))
    assert () == accounts.reserve(3, [account], usd(1), NOW)


@pytest.mark.parametrize("changed", [{"unit": Unit.TOKENS}, {"window": DAY}, {"value": "k"}])
def test_another_unit_window_or_scope_is_another_budget(changed: dict[str, object]) -> None:
    accounts, _ = single(100)

    with pytest.raises(AssertionError):
        accounts.replace_budget(budget("b", 100, **changed))  # type: ignore[arg-type]  # one of several keywords


def test_a_top_up_raises_the_limit_of_every_account_until_it_ends() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(100), NOW)
    accounts.replace_budget(topped_up(budget("b", 100), TopUp(amount=50, until_ns=NOW + 10 * S)))

    assert () == accounts.reserve(2, [account], usd(50), NOW + 9 * S)
    assert 150 == accounts.of(BudgetId("b"), "came later").limit
    accounts.void(2)
    refusal = accounts.reserve(3, [account], usd(1), NOW + 10 * S)
    assert isinstance(refusal, Exhausted)
    assert 100 == refusal.limit_value
    assert isinstance(accounts.reserve(4, [account], usd(1), NOW), Exhausted)


def test_a_top_up_for_one_value_leaves_the_others_as_they_are() -> None:
    accounts, account = single(100)
    accounts.replace_budget(topped_up(budget("b", 100), TopUp(amount=50, until_ns=NOW + S, value="k")))

    assert () == accounts.reserve(1, [account], usd(150), NOW)
    assert isinstance(accounts.reserve(2, [accounts.of(BudgetId("b"), "other one")], usd(101), NOW), Exhausted)


def test_a_top_up_that_is_taken_back_lowers_the_limit_at_once() -> None:
    accounts, account = single(100)
    accounts.replace_budget(topped_up(budget("b", 100), TopUp(amount=50, until_ns=NOW + S)))
    accounts.reserve(1, [account], usd(120), NOW)
    accounts.replace_budget(budget("b", 100))

    refusal = accounts.reserve(2, [account], usd(1), NOW)
    assert isinstance(refusal, Exhausted)
    assert (100, 120) == (refusal.limit_value, refusal.reserved)


# --- thresholds ---

NOTICE: Final = Threshold(at_pct=50, action=ThresholdAction.NOTIFY)
CHEAPER: Final = Threshold(at_pct=80, action=ThresholdAction.SUBSTITUTE)
LATER: Final = Threshold(at_pct=80, action=ThresholdAction.LOWER_PRIORITY)
STOP: Final = Threshold(at_pct=100, action=ThresholdAction.BLOCK)


HALT: Final = Threshold(at_pct=90, action=ThresholdAction.BLOCK)


def fired(*thresholds: Threshold) -> tuple[Crossed, ...]:
    return tuple(Crossed(budget=BudgetId("b"), value="k", at_pct=one.at_pct, action=one.action) for one in thresholds)


def test_a_threshold_is_told_once_by_the_operation_that_reaches_it() -> None:
    accounts, account = single(100, MONTH, NOTICE, CHEAPER, LATER, STOP)

    assert () == accounts.reserve(1, [account], usd(79), NOW)
    assert fired(CHEAPER, LATER) == accounts.extend(1, usd(1), NOW)
    accounts.extend(1, usd(1), NOW)
    assert Settled(state=State.POSTED, crossed=fired(NOTICE)) == accounts.post(1, usd(50))
    assert () == accounts.reserve(2, [account], usd(40), NOW)
    assert Settled(state=State.POSTED, overrun=usd(10), crossed=fired(STOP)) == accounts.post(2, usd(50))


def test_a_threshold_that_blocks_is_a_limit_below_the_limit() -> None:
    accounts, account = single(1_000, MONTH, Threshold(at_pct=90, action=ThresholdAction.BLOCK))

    assert isinstance(accounts.reserve(1, [account], usd(901), NOW), Exhausted)
    assert () != accounts.reserve(2, [account], usd(900), NOW)
    refusal = accounts.extend(2, usd(1), NOW)
    assert isinstance(refusal, Exhausted)
    assert (900, 0, 900, 1) == (refusal.limit_value, refusal.used, refusal.reserved, refusal.wanted)
    standing = accounts.state_of(account, NOW)
    assert (90, 0, (ThresholdAction.BLOCK,)) == (standing.used_pct, standing.room, standing.actions)


def test_a_top_up_lifts_what_blocks_in_proportion() -> None:
    blocks = budget("b", 100, thresholds=(Threshold(at_pct=50, action=ThresholdAction.BLOCK),))
    accounts = Accounts([topped_up(blocks, TopUp(amount=100, until_ns=NOW + S))])
    account = accounts.of(BudgetId("b"), "k")

    assert isinstance(accounts.reserve(1, [account], usd(101), NOW), Exhausted)
    accounts.reserve(2, [account], usd(100), NOW)
    assert (100, 200) == (account.ceiling, account.limit)


def test_a_new_window_arms_the_thresholds_again() -> None:
    accounts, account = single(100, MONTH, CHEAPER)

    assert fired(CHEAPER) == accounts.reserve(1, [account], usd(80), NOW)
    assert fired(CHEAPER) == accounts.reserve(2, [account], usd(80), NOW + 86_400 * S)


def test_a_bucket_of_a_rolling_window_arms_only_what_is_no_longer_reached() -> None:
    accounts, account = single(100, MINUTE, NOTICE, CHEAPER)
    accounts.reserve(1, [account], usd(60), NOW)
    accounts.post(1, usd(60))

    assert fired(CHEAPER) == accounts.reserve(2, [account], usd(20), NOW + S)
    accounts.void(2)
    assert () == accounts.reserve(3, [account], usd(20), NOW + S)
    accounts.void(3)
    assert fired(CHEAPER) == accounts.reserve(4, [account], usd(20), NOW + 2 * S)


def test_a_raised_limit_arms_what_it_lifts_and_a_lowered_one_is_told_at_the_next_operation() -> None:
    accounts, account = single(100, MONTH, CHEAPER)
    accounts.reserve(1, [account], usd(40), NOW)
    accounts.replace_budget(budget("b", 50, thresholds=(CHEAPER,)))

    assert fired(CHEAPER) == accounts.reserve(2, [account], usd(1), NOW)
    accounts.replace_budget(budget("b", 100, thresholds=(CHEAPER,)))
    assert fired(CHEAPER) == accounts.reserve(3, [account], usd(39), NOW)


def test_the_standing_tells_the_actions_in_force_and_what_is_left() -> None:
    accounts, account = single(100, MONTH, NOTICE, CHEAPER, LATER, STOP)
    accounts.reserve(1, [account], usd(85), NOW)
    held = accounts.state_of(account, NOW)
    accounts.void(1)
    free = accounts.state_of(account, NOW)

    assert (ThresholdAction.SUBSTITUTE, ThresholdAction.LOWER_PRIORITY) == held.actions
    assert (85, 15, at("2024-02-01T00:00+01:00")) == (held.used_pct, held.room, held.resets_at_ns)
    assert ((), 0, 100) == (free.actions, free.used_pct, free.room)


def test_a_budget_of_nothing_is_used_up_and_never_resets_in_a_lifetime() -> None:
    accounts, account = single(0, Lifetime())
    standing = accounts.state_of(account, NOW)
    refusal = accounts.reserve(1, [account], usd(1), NOW)

    assert (100, 0, None) == (standing.used_pct, standing.room, standing.resets_at_ns)
    assert isinstance(refusal, Exhausted)
    assert refusal.resets_at_ns is None


# --- accounts of many values ---


def test_each_value_has_its_account_from_its_first_call_and_keeps_it() -> None:
    accounts, account = single(100)

    assert account is accounts.of(BudgetId("b"), "k")
    assert account is not accounts.of(BudgetId("b"), "l")
    assert ("b", "l") == accounts.of(BudgetId("b"), "l").key


def test_a_path_is_made_of_the_accounts_of_its_keys() -> None:
    accounts, account = single(100)

    assert [account, account, accounts.of(BudgetId("b"), "l")] == accounts.path(
        [(BudgetId("b"), value) for value in "kkl"]
    )


def test_values_past_the_bound_share_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VALUES_MAX", 2)
    accounts = Accounts([budget("b", 100)])
    keys = [accounts.of(BudgetId("b"), value).key[1] for value in ("a", "b", "c", "d", "a", OTHER)]

    assert ["a", "b", OTHER, OTHER, "a", OTHER] == keys


def test_a_budget_of_one_value_has_no_account_for_another() -> None:
    accounts = Accounts([budget("b", 100, value="k")])

    assert ("b", "k") == accounts.of(BudgetId("b"), "k").key
    with pytest.raises(AssertionError):
        accounts.of(BudgetId("b"), "l")


# --- corrections, and what the store keeps ---


def test_a_correction_changes_the_bucket_of_admission() -> None:
    accounts, account = single(100, MONTH, NOTICE)
    accounts.reserve(1, [account], usd(40), NOW)
    accounts.expire(1)
    accounts.touched()

    assert () == accounts.correct(account, -30, NOW)
    assert [(10, 0)] == sums(account)
    assert fired(NOTICE) == accounts.correct(account, 100, NOW)
    assert [(("b", "k"), at("2024-01-01T00:00+01:00"), 110)] == accounts.touched()


def test_a_correction_of_a_bucket_that_is_gone_is_left_to_the_store() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(40), NOW)
    accounts.expire(1)
    january = Elsewhere(start_ns=at("2024-01-01T00:00+01:00"))

    assert january == accounts.correct(account, -41, NOW)
    accounts.state_of(account, NOW + 86_400 * S)
    assert january == accounts.correct(account, -40, NOW)
    assert [(0, 0)] == sums(account)


def test_balances_and_open_rows_bring_everything_back_in_any_order() -> None:
    _, account = single(100, MONTH, NOTICE, CHEAPER)
    february = at("2024-02-01T00:00+01:00")
    steps: list[Callable[[Accounts, Account], None]] = [
        lambda accounts, _: accounts.load(("b", "k"), at("2024-01-01T00:00+01:00"), 70),  # type: ignore[arg-type]
        lambda accounts, _: accounts.load(("b", "k"), february, 60),  # type: ignore[arg-type]
        lambda accounts, account: accounts.adopt(1, [account], usd(20), NOW),
        lambda accounts, account: accounts.adopt(2, [account], usd(50), february),
    ]
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 2, 0, 3)):
        accounts, account = single(100, MONTH, NOTICE, CHEAPER)
        for step in order:
            steps[step](accounts, account)
        accounts.adopt(1, [account], usd(99), NOW)

        refusal = accounts.reserve(3, [account], usd(1), february + S)
        assert isinstance(refusal, Exhausted)
        assert (60, 50) == (refusal.used, refusal.reserved)
        assert Settled(state=State.POSTED) == accounts.post(1, usd(5))
        assert Settled(state=State.EXPIRED) == accounts.expire(2)
        assert [
            (("b", "k"), at("2024-01-01T00:00+01:00"), 75),
            (("b", "k"), february, 110),
        ] == accounts.touched()
        assert [] == accounts.touched()


def test_stored_balances_outside_of_the_window_count_for_nothing_once_the_account_is_used() -> None:
    accounts, account = single(100, MONTH, CHEAPER)
    accounts.load(account.key, at("2024-01-01T00:00+01:00"), 80)
    accounts.load(account.key, at("2023-12-01T00:00+01:00"), 90)

    assert () == accounts.reserve(1, [account], usd(1), NOW)  # its threshold was told before the start
    assert [(80, 1)] == sums(account)
    assert fired(CHEAPER) == accounts.reserve(2, [account], usd(80), NOW + 86_400 * S)


def test_a_stored_balance_counts_though_the_account_is_in_use() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [account], usd(10), NOW)
    accounts.load(account.key, at("2024-01-01T00:00+01:00"), 85)
    accounts.load(account.key, at("2024-01-01T00:00+01:00"), 80)

    assert [(80, 10)] == sums(account)
    assert isinstance(accounts.reserve(2, [account], usd(11), NOW), Exhausted)


def test_an_account_in_use_tells_of_a_threshold_that_a_stored_balance_did_not_reach() -> None:
    accounts, account = single(100, MONTH, CHEAPER)
    accounts.reserve(1, [account], usd(10), NOW)
    accounts.load(account.key, at("2024-01-01T00:00+01:00"), 20)

    assert fired(CHEAPER) == accounts.reserve(2, [account], usd(50), NOW)


def test_what_is_adopted_by_a_clock_that_stepped_back_counts_in_the_current_bucket() -> None:
    accounts, account = single(100)
    february = at("2024-02-01T00:00+01:00")
    accounts.reserve(1, [account], usd(60), february)
    assert isinstance(accounts.reserve(2, [account], usd(50), NOW), Exhausted)
    accounts.adopt(2, [account], usd(50), NOW)

    assert [(0, 110)] == sums(account)
    assert [(("b", "k", february, 0),)] == [tuple(bucket.booking for bucket in accounts.pending(2).buckets)]
    assert (usd(50), NO_HOLD) == (accounts.pending(2).amounts, accounts.pending(3))


def test_a_reservation_over_no_account_is_forgotten_as_it_ends() -> None:
    accounts, account = single(100)
    accounts.reserve(1, [], usd(60), NOW)
    accounts.reserve(2, [account], usd(60), NOW)
    holding = (accounts.find(1), accounts.pending(1).amounts)

    assert (State.PENDING, usd(60)) == holding
    assert (State.POSTED, State.POSTED) == (accounts.post(1, usd(5)).state, accounts.post(2, usd(5)).state)
    assert (State.UNKNOWN, State.POSTED) == (accounts.find(1), accounts.find(2))
    assert Stale(state=State.UNKNOWN) == accounts.post(1, usd(5))


# --- everything at once, against a model ---

BUDGETS: Final = (
    budget("burst", 200, window=MINUTE),
    budget("key", 300),
    budget("user", 500, kind=ScopeKind.USER, value="u", window=HOUR, unit=Unit.TOKENS),
    budget("team", 400, kind=ScopeKind.TEAM, value="t", window=DAY, thresholds=(NOTICE, CHEAPER, HALT)),
    budget("org", 450, kind=ScopeKind.ORGANIZATION, value="o", thresholds=(NOTICE, LATER)),
    budget("agent", 12, kind=ScopeKind.AGENT, window=Lifetime(), unit=Unit.REQUESTS),
)
WINDOWS: Final = {one.id: one.window for one in BUDGETS}
COLUMNS: Final = {one.id: list(Unit).index(one.unit) for one in BUDGETS}

EDGES: Final = sorted(
    at(text)
    for text in (
        "2024-01-31T23:59:58+01:00",  # to a leap year's February
        "2024-02-29T23:59:58+01:00",
        "2024-03-30T23:59:58+01:00",  # to a day of 23 hours, the last of its month
        "2024-03-31T01:59:58+01:00",
        "2024-10-26T23:59:58+02:00",  # to a day of 25 hours
        "2024-10-27T02:59:58+02:00",
        "2025-01-31T23:59:58+01:00",
        "2025-02-28T23:59:58+01:00",
    )
)

PICKS: Final = st.integers(min_value=0, max_value=9)
"""Which reservation to do something to, see `Books.pick`."""
STEPS: Final = (0, 1, S, 3 * S, 30 * S, 61 * S, 3_600 * S, -S, -5 * S, -3_600 * S)
AMOUNTS: Final = st.builds(Amounts, st.integers(0, 90), st.integers(0, 150), st.sampled_from([0, 1, 1]), st.just(0))
MORE: Final = st.builds(Amounts, st.integers(0, 30), st.integers(0, 30), st.just(0), st.just(0))

Place = tuple[AccountKey, int]
"""An account and the start of a bucket."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """What the model remembers of one reservation: all of it."""

    admitted_ns: int
    path: list[Place]
    held: list[Amounts]
    state: State = State.PENDING
    actual: Amounts = NOTHING

    def pending(self, column: int) -> int:
        return sum(amounts[column] for amounts in self.held) if self.state is State.PENDING else 0


@dataclass(slots=True, kw_only=True)
class Model:
    """Sums over everything that ever happened, made anew for every question."""

    entries: list[Entry] = field(default_factory=list)
    corrections: list[tuple[Place, int]] = field(default_factory=list)
    latest: dict[AccountKey, int] = field(default_factory=dict)
    """The latest moment that an account was shown."""
    limits: dict[BudgetId, int] = field(default_factory=lambda: {one.id: one.limit for one in BUDGETS})
    top_ups: dict[BudgetId, tuple[TopUp, ...]] = field(default_factory=dict)

    def show(self, keys: Sequence[AccountKey], wall_ns: int) -> None:
        for key in keys:
            self.latest[key] = max(wall_ns, self.latest.get(key, 0))

    def current(self, key: AccountKey) -> int:
        return bucket_at(WINDOWS[key[0]], self.latest[key]).start_ns

    def limit(self, key: AccountKey) -> int:
        in_force = [
            one.amount
            for one in self.top_ups.get(key[0], ())
            if one.value in (EACH, key[1]) and one.until_ns > self.latest.get(key, 0)
        ]
        return self.limits[key[0]] + sum(in_force)

    def ceiling(self, key: AccountKey) -> int:
        limit = self.limit(key)
        return -(-limit * HALT.at_pct // 100) if key[0] == "team" else limit

    def counts(self, place: Place) -> bool:
        key, start_ns = place
        return key not in self.latest or start_ns >= counted_from(WINDOWS[key[0]], self.current(key))

    def places(self) -> set[Place]:
        return {place for entry in self.entries for place in entry.path}

    def sums_of(self, wanted: Callable[[Place], bool]) -> tuple[int, int]:
        posted = sum(delta for place, delta in self.corrections if wanted(place))
        pending = 0
        for entry in self.entries:
            for place in filter(wanted, entry.path):
                column = COLUMNS[place[0][0]]
                posted += entry.actual[column]
                pending += entry.pending(column)
        return posted, pending

    def window(self, key: AccountKey) -> tuple[int, int]:
        return self.sums_of(lambda place: place[0] == key and self.counts(place))

    def bucket(self, place: Place) -> tuple[int, int]:
        return self.sums_of(lambda other: other == place)

    def fits(self, path: list[Place], amounts: Amounts) -> tuple[AccountKey, int, int] | None:
        """Return the first account that the amounts do not fit in, with what it counts."""
        for place in path:
            key = place[0]
            posted, pending = self.window(key) if self.counts(place) else self.bucket(place)
            if posted + pending + amounts[COLUMNS[key[0]]] > self.ceiling(key):
                return key, posted, pending
        return None


Command = Callable[[Accounts], object]


class Books(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.accounts = Accounts(BUDGETS)
        self.model = Model()
        self.now = EDGES[0]
        self.by_rid: dict[int, Entry] = {}
        self.refused: dict[int, object] = {}
        self.last = 0
        self.store: dict[Place, int] = {}
        self.journal: list[Command] = []
        self.told: set[tuple[object, ...]] = set()
        self.limits_changed = 0

    def do(self, command: Command) -> object:
        """Run and note a command; it names accounts by their keys, so that it can be replayed."""
        self.journal.append(command)
        answer = command(self.accounts)
        self.store.update({(key, start_ns): posted for key, start_ns, posted in self.accounts.touched()})
        crossed = answer.crossed if isinstance(answer, Settled) else answer
        for one in crossed if isinstance(crossed, tuple) else ():
            assert isinstance(one, Crossed)
            self.hear(one)
        return answer

    def hear(self, one: Crossed) -> None:
        account = self.accounts.of(one.budget, one.value)
        once = (one, account.bucket.start_ns, self.limits_changed)
        assert once not in self.told, "a threshold fires once a window"
        self.told.add(once)

    def keys(self, key: str, agent: str) -> list[AccountKey]:
        values = {"burst": key, "key": key, "user": "u", "team": "t", "org": "o", "agent": agent}
        return [(one.id, values[one.id]) for one in BUDGETS]

    @initialize(start=st.sampled_from(EDGES))
    def begin(self, start: int) -> None:
        self.now = start

    def pick(self, pick: int) -> int:
        """Choose one that is pending, or now and then any recent one."""
        pending = [rid for rid, entry in self.by_rid.items() if entry.state is State.PENDING]
        return pending[pick % len(pending)] if pending and pick < 8 else self.last + 1 - pick % 8

    # --- time ---

    @rule(step=st.sampled_from(STEPS), to_edge=st.sampled_from([False, False, True]))
    def pass_time(self, step: int, to_edge: bool) -> None:
        if to_edge:
            self.now = next((edge for edge in EDGES if edge > self.now), self.now + 40 * 86_400 * S)
        self.now += step

    # --- reservations ---

    @rule(key=st.sampled_from("ab"), agent=st.sampled_from("xyz"), amounts=AMOUNTS, step=st.sampled_from(STEPS))
    def reserve(self, key: str, agent: str, amounts: Amounts, step: int) -> None:
        self.last += 1
        self.now += step
        rid, now, keys = self.last, self.now, self.keys(key, agent)
        answer = self.do(lambda accounts: accounts.reserve(rid, [accounts.of(*one) for one in keys], amounts, now))
        self.model.show(keys, now)
        path = [(one, self.model.current(one)) for one in keys]
        if self.agrees(answer, path, amounts):
            entry = self.by_rid[rid] = Entry(admitted_ns=now, path=path, held=[amounts])
            self.model.entries.append(entry)
            self.within_limits(path)
        else:
            self.refused[rid] = answer

    @rule(key=st.sampled_from("ab"), amounts=AMOUNTS)
    def reserve_more(self, key: str, amounts: Amounts) -> None:
        self.reserve(key=key, agent="x", amounts=amounts, step=0)

    @rule(pick=PICKS, amounts=AMOUNTS)
    def reserve_again(self, pick: int, amounts: Amounts) -> None:
        rid, now, keys = self.last - pick, self.now, self.keys("a", "x")
        if self.state(rid) is State.UNKNOWN:
            return
        answer = self.do(lambda accounts: accounts.reserve(rid, [accounts.of(*one) for one in keys], amounts, now))

        assert self.refused.get(rid, ()) == answer

    @rule(pick=PICKS, amounts=MORE)
    def extend(self, pick: int, amounts: Amounts) -> None:
        rid, now = self.pick(pick), self.now
        answer = self.do(lambda accounts: accounts.extend(rid, amounts, now))
        entry = self.by_rid.get(rid)
        if entry is None or entry.state is not State.PENDING:
            assert Stale(state=self.state(rid)) == answer
            return
        self.model.show([key for key, _ in entry.path], now)
        if self.agrees(answer, entry.path, amounts):
            entry.held.append(amounts)
            self.within_limits(entry.path)

    def agrees(self, answer: object, path: list[Place], amounts: Amounts) -> bool:
        refusing = self.model.fits(path, amounts)
        if refusing is None:
            assert isinstance(answer, tuple), answer
            return True
        assert isinstance(answer, Exhausted), refusing
        told = (answer.budget, answer.scope.value), answer.used, answer.reserved
        assert refusing == told
        return False

    def within_limits(self, path: list[Place]) -> None:
        """I1, for what was just held: in the window that counts it, or in its own that has passed."""
        for place in path:
            sums = self.model.window(place[0]) if self.model.counts(place) else self.model.bucket(place)
            assert sum(sums) <= self.model.ceiling(place[0])

    @rule(pick=PICKS, actual=AMOUNTS)
    def post(self, pick: int, actual: Amounts) -> None:
        self.end(pick, State.POSTED, actual)

    @rule(pick=PICKS, end=st.sampled_from([State.POSTED, State.VOIDED, State.EXPIRED]), actual=AMOUNTS)
    def end(self, pick: int, end: State, actual: Amounts) -> None:
        rid = self.pick(pick)
        was = self.state(rid)
        match end:
            case State.POSTED:
                answer = self.do(lambda accounts: accounts.post(rid, actual))
            case State.VOIDED:
                answer = self.do(lambda accounts: accounts.void(rid))
            case _:
                answer = self.do(lambda accounts: accounts.expire(rid))
        if was is not State.PENDING:
            assert Stale(state=was) == answer
            return
        entry = self.by_rid[rid]
        held = Amounts(*(entry.pending(column) for column in range(len(Unit))))
        spent = {State.POSTED: actual, State.VOIDED: NOTHING}.get(end, held)
        assert isinstance(answer, Settled)
        assert (end, spent.beyond(held)) == (answer.state, answer.overrun)
        entry.state, entry.actual = end, spent

    def state(self, rid: int) -> State:
        if rid in self.refused:
            return State.REFUSED
        return self.by_rid[rid].state if rid in self.by_rid else State.UNKNOWN

    @rule(pick=PICKS, delta=st.integers(-40, 40))
    def correct(self, pick: int, delta: int) -> None:
        rid = self.last - pick
        if self.state(rid) not in (State.POSTED, State.EXPIRED):
            return
        path = self.by_rid[rid].path
        attributed = [place for place in path if place[0][0] in ("key", "org")]
        if all(self.model.counts(place) and self.model.bucket(place)[0] + delta >= 0 for place in attributed):
            for place in path:
                self.correct_one(place, delta)

    def correct_one(self, place: Place, delta: int) -> None:
        key, start_ns = place
        answer = self.do(lambda accounts: accounts.correct(accounts.of(*key), delta, start_ns))
        posted, pending = self.model.bucket(place)
        if answer != Elsewhere(start_ns=start_ns):
            assert posted + delta >= 0
            assert pending or self.model.counts(place)
            self.model.corrections.append((place, delta))
        else:
            assert posted + delta < 0 or not self.model.counts(place)

    # --- terms ---

    @rule(one=st.sampled_from(BUDGETS), pct=st.sampled_from([30, 70, 100, 150]))
    def change_limit(self, one: Budget, pct: int) -> None:
        self.limits_changed += 1
        self.model.limits[one.id] = one.limit * pct // 100
        self.change(one)

    @rule(
        one=st.sampled_from([BUDGETS[1], *BUDGETS[3:5]]),
        amount=st.integers(1, 200),
        lasts=st.sampled_from([S, 100 * S]),
        value=st.sampled_from([EACH, "a"]),
    )
    def top_up(self, one: Budget, amount: int, lasts: int, value: str) -> None:
        until_ns = max([self.now, *self.model.latest.values()]) + lasts
        more = TopUp(amount=amount, until_ns=until_ns, value=value)
        self.model.top_ups[one.id] = (*self.model.top_ups.get(one.id, ()), more)
        self.change(one)

    @rule(one=st.sampled_from([BUDGETS[1], *BUDGETS[3:5]]))
    def take_top_ups_back(self, one: Budget) -> None:
        self.model.top_ups.pop(one.id, None)
        self.change(one)

    def change(self, one: Budget) -> None:
        self.limits_changed += 1
        changed = self.as_it_is(one)
        self.do(lambda accounts: accounts.replace_budget(changed))

    def as_it_is(self, one: Budget) -> Budget:
        return replace(one, limit=self.model.limits[one.id], top_ups=self.model.top_ups.get(one.id, ()))

    @rule(key=st.sampled_from("ab"), agent=st.sampled_from("xyz"))
    def look(self, key: str, agent: str) -> None:
        now, keys = self.now, self.keys(key, agent)
        self.model.show(keys, now)
        for one in keys:
            standing = self.do(lambda accounts, one=one: accounts.state_of(accounts.of(*one), now))  # type: ignore[misc]
            assert self.model.ceiling(one) - sum(self.model.window(one)) == standing.room  # type: ignore[attr-defined]

    @precondition(lambda self: len(self.journal) > 25)
    @rule()
    def restart(self) -> None:
        """Lose the process: what the store holds and the rows that are open bring everything back."""
        self.accounts, self.journal, self.refused = Accounts(BUDGETS), [], {}
        self.model.latest = {}
        self.by_rid = {rid: entry for rid, entry in self.by_rid.items() if entry.state is State.PENDING}
        for one in BUDGETS:
            as_it_is = self.as_it_is(one)
            self.do(lambda accounts, one=as_it_is: accounts.replace_budget(one))  # type: ignore[misc]
        for (key, start_ns), posted in self.store.items():
            self.do(lambda accounts, a=key, b=start_ns, c=posted: accounts.load(a, b, c))  # type: ignore[misc]
        for rid, entry in self.by_rid.items():
            keys = [key for key, _ in entry.path]
            held = Amounts(*(entry.pending(column) for column in range(len(Unit))))
            entry.path = [(key, bucket_at(WINDOWS[key[0]], entry.admitted_ns).start_ns) for key in keys]

            def adopt(accounts: Accounts, rid: int = rid, entry: Entry = entry, held: Amounts = held) -> None:
                accounts.adopt(rid, [accounts.of(*key) for key, _ in entry.path], held, entry.admitted_ns)

            self.do(adopt)
        self.told.clear()

    # --- what holds after every step ---

    @invariant()
    def the_sums_are_those_of_all_operations(self) -> None:
        for key, account in opened(self.accounts).items():
            assert self.model.window(key) == (account.posted, account.pending), key
            assert (self.model.limit(key), self.model.ceiling(key)) == (account.limit, account.ceiling), key

    @invariant()
    def children_add_up_to_their_parent(self) -> None:  # I2
        posted = {name: sum(one for (key, _), one in self.store.items() if key[0] == name) for name in ("key", "org")}

        assert posted["key"] == posted["org"]

    @invariant()
    def the_store_was_told_of_every_change(self) -> None:
        assert {} == {
            place: (told, self.model.bucket(place))
            for place in self.model.places()
            if (told := self.store.get(place, 0)) != self.model.bucket(place)[0]
        }

    @invariant()
    def a_replay_gives_the_same_balances(self) -> None:  # I5
        again = Accounts(BUDGETS)
        for command in self.journal:
            command(again)

        assert balances(self.accounts) == balances(again)

    @invariant()
    def each_reservation_is_in_one_state(self) -> None:  # I3
        rids = range(self.last + 1)

        assert {rid: self.state(rid) for rid in rids} == {rid: self.accounts.find(rid) for rid in rids}

    def teardown(self) -> None:
        for rid in self.by_rid:
            self.accounts.expire(rid)

        assert {} == {  # I4
            key: account.pending
            for key, account in opened(self.accounts).items()
            if account.pending or any(bucket.pending for bucket in account.buckets.values())
        }


def opened(accounts: Accounts) -> dict[AccountKey, Account]:
    return {account.key: account for terms in accounts._terms.values() for account in terms.accounts.values()}


def balances(accounts: Accounts) -> dict[Place, tuple[int, int]]:
    return {
        (key, bucket.start_ns): (bucket.posted, bucket.pending)
        for key, account in opened(accounts).items()
        for bucket in account.buckets.values()
    }


class TestBooks(Books.TestCase):  # type: ignore[misc, name-defined]
    settings = settings(
        derandomize=True,
        max_examples=120,
        stateful_step_count=50,
        deadline=None,
        phases=[Phase.generate],  # shrinking can outlast the time limit of a test: add Phase.shrink when it is wanted
        suppress_health_check=[HealthCheck.too_slow],
    )
