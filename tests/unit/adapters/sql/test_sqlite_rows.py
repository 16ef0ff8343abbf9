"""A row says all that a settlement said, in few bytes, and can be read by people in SQL."""

import sqlite3

import msgspec
import pytest

from router.adapters.sql import sqlite_rows as module
from router.adapters.sql import sqlite_statements as sql
from router.adapters.sql.sqlite_rows import (
    BookedTexts,
    extended_row,
    open_row,
    read_amounts,
    read_attempts_page,
    read_booking,
    read_call,
    read_observed_totals,
    read_stored,
    settled_row,
)
from router.domain.faults import Fault
from router.domain.governance.accounts import Accounts
from router.domain.governance.budget import NOTHING, Amounts, BudgetId
from router.domain.ids import CallId, DeploymentId, Epoch, ProviderId
from router.domain.settlement import Reservation, StoredRecord, StoredReply
from router.ports.ledger_pages import CallFilter
from tests.support.ledger_facts import (
    STARTED_NS,
    USAGE,
    attempt,
    lifelong,
    open_record,
    reservation,
    settled_record,
    settlement,
)

EPOCH = Epoch(1)
FILE_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"


ONLY = msgspec.structs.replace(attempt(1), usage=msgspec.structs.replace(USAGE, clamped=False))
ALL_OF_IT = msgspec.structs.replace(
    settlement(7, usage=ONLY.usage),
    served_deployment=ONLY.deployment,
    served_model=ONLY.upstream_model,
    cost_nano_usd=ONLY.cost_nano_usd,
    price_version=ONLY.price_version,
    attempts=(ONLY,),
)
UNPRICED = msgspec.structs.replace(ONLY, cost_nano_usd=None, price_version=None)
CLAMPED = msgspec.structs.replace(ONLY, usage=USAGE)
FAILED = msgspec.structs.replace(
    ONLY, fault=Fault.UPSTREAM_ERROR, upstream_status=None, first_token_ns=None, upstream_model="other"
)


def test_a_reservation_reads_back_as_an_open_call(connection: sqlite3.Connection) -> None:
    connection.execute(sql.OPEN_CALLS[1], open_row(reservation(7, hold=9), EPOCH, None))

    assert open_record(7, hold=9) == read_call(connection, CallId(7))


@pytest.mark.parametrize("attempts", [0, 1, 3])
def test_a_settlement_reads_back_whole(connection: sqlite3.Connection, attempts: int) -> None:
    connection.execute(
        sql.SETTLE_CALLS[1], settled_row(settlement(7, fault=Fault.TIMEOUT, attempts=attempts), EPOCH, 9, None)
    )

    expected = tuple(attempt(number + 1, fault=Fault.TIMEOUT) for number in range(attempts))
    assert settled_record(7, hold=9, fault="timeout", attempts=expected) == read_call(connection, CallId(7))


def test_an_unpriced_attempt_stays_unpriced(connection: sqlite3.Connection) -> None:
    connection.execute(sql.SETTLE_CALLS[1], settled_row(settlement(7, cost=None), EPOCH, 0, None))
    record = read_call(connection, CallId(7))

    assert record is not None
    assert (None, [None]) == (record.cost_nano_usd, [row.cost_nano_usd for row in record.attempts])


def test_only_plain_values_are_bound() -> None:
    rows = [open_row(reservation(7), EPOCH, None), settled_row(settlement(7, fault=Fault.TIMEOUT), EPOCH, 0, None)]

    assert {int, str} == {type(value) for row in rows for value in row if value is not None}


@pytest.mark.parametrize(
    "excess",
    [
        reservation(2**63),
        reservation(7, hold=2**63),
        reservation(7, hold=-1),
        reservation(7, amounts=Amounts(seconds=2**63)),
    ],
)
def test_a_reservation_that_no_row_can_hold_is_refused(excess: Reservation) -> None:
    assert 2**63 - 1 == open_row(reservation(7, hold=2**63 - 1), EPOCH, None)[10]

    with pytest.raises(OverflowError, match="63 bits"):
        open_row(excess, EPOCH, None)


def test_money_that_no_balance_can_hold_is_refused() -> None:
    most, excess = (msgspec.structs.replace(settlement(7), spent=Amounts(tokens=2**63 - less)) for less in (1, 0))

    assert "[0,9223372036854775807,0,0]" == settled_row(most, EPOCH, 0, "[]")[-1]
    with pytest.raises(OverflowError, match="63 bits"):
        settled_row(excess, EPOCH, 0, "[]")
    with pytest.raises(OverflowError, match="63 bits"):
        extended_row(CallId(7), excess.spent)


def test_where_money_is_held_and_how_much_reads_back() -> None:
    path = (("team", "a/b"), ("organization", "Zoë"))
    accounts = Accounts([lifelong("team", "a/b"), lifelong("organization", "Zoë")])
    amounts = Amounts(usd=5, tokens=7)
    accounts.reserve(7, [accounts.of(BudgetId(budget), value) for budget, value in path], amounts, STARTED_NS)
    texts = BookedTexts()
    booked = texts.of(accounts.pending(7).buckets)
    row = open_row(reservation(7, amounts=amounts), EPOCH, booked)

    assert [("team", "a/b", 0, 0), ("organization", "Zoë", 0, 0)] == read_booking(booked)
    assert (booked, "[5,7,0,0]") == row[-2:]
    assert amounts == read_amounts("[5,7,0,0]")
    assert (NOTHING, []) == (read_amounts(None), read_booking(None))
    assert texts.of(accounts.pending(8).buckets) is None
    assert texts.of(accounts.pending(7).buckets) is booked


def test_texts_of_paths_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BOOKED_TEXTS_MAX", 2)
    accounts = Accounts([lifelong("key", "*")])
    texts = BookedTexts()
    for number in range(5):
        accounts.reserve(number, [accounts.of(BudgetId("key"), str(number))], NOTHING, STARTED_NS)
        assert f'[["key","{number}",0,0]]' == texts.of(accounts.pending(number).buckets)
        assert len(texts._texts) <= 2


def test_a_call_takes_at_most_600_bytes(connection: sqlite3.Connection) -> None:
    calls = 2_000
    connection.execute("BEGIN")
    for number in range(calls):
        connection.execute(sql.SETTLE_CALLS[1], settled_row(settlement((1 << 60) + number), EPOCH, 0, None))
    connection.execute("COMMIT")
    (bytes_,) = connection.execute(FILE_BYTES).fetchone()

    assert 600 * calls >= bytes_


def test_a_call_with_labels_two_budgets_and_a_choice_takes_at_most_600_bytes(connection: sqlite3.Connection) -> None:
    calls = 2_000
    (empty,) = connection.execute(FILE_BYTES).fetchone()
    team = '["team/acme%2Fplatform/usd/day@UTC","",1798761600000000000,0]'
    booked = f'[["key/ci/usd/month@UTC","",1798761600000000000,0],{team}]'
    first, second = (f"openai-{account}/model-1#default" for account in "ab")
    decision = f'{{"a":"model-1","c":["{first}","{second}"],"t":[["{first}","model-1"]]}}'
    connection.execute("BEGIN")
    for number in range(calls):
        made = msgspec.structs.replace(ALL_OF_IT, id=CallId((1 << 60) + number), decision=decision, priority="standard")
        made = msgspec.structs.replace(made, request_id=f"req_{number:032x}", spent=Amounts(3_556_000, 2_306, 1, 2))
        connection.execute(sql.SETTLE_CALLS[1], settled_row(made, EPOCH, 4_000_000, booked))
    connection.execute("COMMIT")
    (bytes_,) = connection.execute(FILE_BYTES).fetchone()

    assert 600 * calls >= bytes_ - empty


@pytest.mark.parametrize(
    ("short", "changes"),
    [
        (True, {}),
        (True, {"started_ns": ONLY.started_ns + 5}),
        (True, {"served_model": None}),
        (True, {"served_model": "mock-2027"}),
        (True, {"attempts": (FAILED,)}),
        (True, {"attempts": (UNPRICED,), "cost_nano_usd": None, "price_version": None}),
        (False, {"attempts": (CLAMPED,), "usage": CLAMPED.usage}),
        (False, {"served_deployment": None}),
        (False, {"served_deployment": "elsewhere:mock"}),
        (False, {"usage": msgspec.structs.replace(ONLY.usage, output=301)}),
        (False, {"usage": msgspec.structs.replace(ONLY.usage, estimated=False)}),
        (False, {"cost_nano_usd": 3_556_001}),
        (False, {"cost_nano_usd": None}),
        (False, {"attempts": (UNPRICED,)}),
        (False, {"price_version": "config-2"}),
        (False, {"attempts": (ONLY, ONLY)}),
        (False, {"attempts": (ONLY, FAILED)}),
    ],
)
def test_an_attempt_reads_back_whole_though_its_call_says_what_it_used(
    connection: sqlite3.Connection, short: bool, changes: dict[str, object]
) -> None:
    made = msgspec.structs.replace(ALL_OF_IT, **changes)
    connection.execute(sql.SETTLE_CALLS[1], settled_row(made, EPOCH, 0, None))
    record = read_call(connection, CallId(7))
    (stored,) = connection.execute("SELECT json_array_length(attempts, '$[0]') FROM calls").fetchone()
    rows = read_attempts_page(connection, CallFilter(), (CallId(8), 0), 9)

    assert record is not None
    assert made.attempts == record.attempts
    assert (9 if short else 18) == stored
    for one in made.attempts:
        (row,) = {row for row in rows if row.fault == one.fault and row.number == one.number}
        usage = one.usage
        assert (one.deployment, one.provider, one.upstream_model) == (row.deployment, row.provider, row.upstream_model)
        assert (one.started_ns, one.duration_ns, one.first_token_ns, one.upstream_status) == (
            row.started_ns,
            row.duration_ns,
            row.first_token_ns,
            row.upstream_status,
        )
        assert (usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning) == (
            row.input_tokens,
            row.cached_input_tokens,
            row.cache_write_tokens,
            row.output_tokens,
            row.reasoning_tokens,
        )
        assert (usage.estimated, usage.clamped) == (row.usage_estimated, row.usage_clamped)
        assert (one.cost_nano_usd, one.price_version) == (row.cost_nano_usd, row.price_version)


def test_attempts_can_be_asked_in_sql(connection: sqlite3.Connection) -> None:
    connection.execute(
        sql.SETTLE_CALLS[1], settled_row(settlement(1, attempts=2, fault=Fault.UPSTREAM_ERROR), EPOCH, 0, None)
    )
    cursor = connection.execute("SELECT * FROM attempts WHERE call_id = 1 AND number = 2")
    names = [column[0] for column in cursor.description]

    assert {
        "call_id": 1,
        "number": 2,
        "deployment": "local:mock",
        "provider": "local",
        "upstream_model": "mock",
        "started_ns": 1_800_000_000_000_000_002,
        "duration_ns": 800_000_002,
        "first_token_ns": 200_000_000,
        "fault": "upstream_error",
        "upstream_status": 529,
        "input_tokens": 2_006,
        "cached_input_tokens": 1_920,
        "cache_write_tokens": 16,
        "output_tokens": 300,
        "reasoning_tokens": 40,
        "usage_estimated": 1,
        "usage_clamped": 1,
        "cost_nano_usd": 3_556_000,
        "price_version": "config-1",
    } == dict(zip(names, cursor.fetchone(), strict=True))


def test_what_observing_let_pass_is_added_up(connection: sqlite3.Connection) -> None:
    for number, fault in ((1, Fault.RATE_LIMITED), (2, Fault.BUDGET_EXHAUSTED), (3, Fault.RATE_LIMITED), (4, None)):
        settled = msgspec.structs.replace(settlement(number, cost=number), would_refuse=fault)
        connection.execute(sql.SETTLE_CALLS[1], settled_row(settled, EPOCH, 0, None))

    assert [("rate_limited", 2, 4, 0), ("budget_exhausted", 1, 2, 0)] == [
        (total.group, total.calls, total.cost_nano_usd, total.unpriced_calls)
        for total in read_observed_totals(connection, "reason", 0)
    ]
    assert [("ci", 1)] == [
        (total.group, total.calls) for total in read_observed_totals(connection, "key", STARTED_NS + 3)
    ]


def test_a_stored_reply_is_found_by_its_index_and_nothing_else_is_in_there(connection: sqlite3.Connection) -> None:
    steps = connection.execute(f"EXPLAIN QUERY PLAN {sql.READ_STORED}", ("resp_1",)).fetchall()
    kept = StoredReply("resp_1", DeploymentId("o/gpt"), ProviderId("o"), "")
    for number, stored in ((7, None), (8, kept)):
        settled = msgspec.structs.replace(settlement(number), stored=stored)
        connection.execute(sql.SETTLE_CALLS[1], settled_row(settled, EPOCH, 0, None))

    assert ["SEARCH calls USING INDEX calls_by_stored_id (<expr>=?)"] == [step[3] for step in steps]
    found = read_stored(connection, "resp_1")
    assert found == StoredRecord(key_id="ci", started_ns=STARTED_NS + 8, reply=kept)
    assert read_stored(connection, "resp_2") is None
