"""What every reader of pages promises: newest first, each row on one page, and what is asked for and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.adapters.ledger_sqlite import SqliteLedger, open_sqlite_ledger
from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.domain.faults import Fault
from router.domain.ids import CallId
from router.domain.settlement import Labels, Outcome
from router.ports.ledger_pages import CallFilter, LedgerPages
from tests.support.fakes import FakeClock, RecordingTelemetry
from tests.support.ledger_facts import (
    LABELS,
    STARTED_NS,
    attempt,
    open_record,
    reservation,
    settled_record,
    settlement,
)

NEWEST = CallId(2**63 - 1)
ANYTHING = CallFilter()


async def fill(ledger: SqliteLedger) -> None:
    """Put five calls on record: 1 to 4 have ended, 5 is open."""
    for number in (1, 2, 3, 4, 5):
        await ledger.reserve(reservation(number, hold=number), STARTED_NS)
    ledger.settle(settlement(1))
    ledger.settle(settlement(2, key="dev", model="large", attempts=2, labels=Labels(agent="planner")))
    ledger.settle(settlement(3, outcome=Outcome.FAILED, fault=Fault.TIMEOUT, attempts=3))
    ledger.settle(settlement(4, labels=Labels(workflow_id="wf-8"), attempts=0))


@pytest.fixture(params=["ledger", "ledger in memory", "reader"])
async def pages(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LedgerPages]:
    url = "sqlite:///:memory:" if request.param == "ledger in memory" else f"sqlite:///{tmp_path / 'calls.db'}"
    async with asyncio.TaskGroup() as tasks:
        ledger = await open_sqlite_ledger(
            url, durability="process", clock=FakeClock(), telemetry=RecordingTelemetry(), tasks=tasks
        )
        try:
            await fill(ledger)
            if request.param == "reader":
                await ledger.read_call(CallId(1))  # what came before is committed then
                async with await open_sqlite_reader(url) as reader:
                    yield reader
            else:
                yield ledger.history
        finally:
            await ledger.close()


async def test_calls_come_whole_and_newest_first(pages: LedgerPages) -> None:
    calls = await pages.read_calls(ANYTHING, NEWEST, 10)

    assert [5, 4, 3, 2, 1] == [call.id for call in calls]
    assert open_record(5, hold=5) == calls[0]
    assert settled_record(1, hold=1, attempts=(attempt(1),)) == calls[-1]


async def test_a_page_goes_on_below_a_call_and_has_a_bound(pages: LedgerPages) -> None:
    assert [4, 3] == [call.id for call in await pages.read_calls(ANYTHING, CallId(5), 2)]
    assert [2, 1] == [call.id for call in await pages.read_calls(ANYTHING, CallId(3), 2)]
    assert [] == list(await pages.read_calls(ANYTHING, CallId(1), 2))


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        (CallFilter(key="ci"), [5, 4, 3, 1]),
        (CallFilter(key="dev"), [2]),
        (CallFilter(key="c%"), []),
        (CallFilter(team="platform"), [4, 3, 2, 1]),
        (CallFilter(team="acme/platform"), [4, 3, 2, 1]),
        (CallFilter(team="other/platform"), []),
        (CallFilter(agent="planner"), [2]),
        (CallFilter(workflow=LABELS.workflow_id), [5, 3, 1]),
        (CallFilter(model="large"), [2]),
        (CallFilter(outcome="open"), [5]),
        (CallFilter(outcome="completed"), [4, 2, 1]),
        (CallFilter(fault="timeout"), [3]),
        (CallFilter(since_ns=STARTED_NS + 4), [5, 4]),
        (CallFilter(until_ns=STARTED_NS + 3), [2, 1]),
        (CallFilter(since_ns=STARTED_NS + 3, until_ns=STARTED_NS + 5, key="ci", outcome="completed"), [4]),
        (CallFilter(key="' OR 1=1 --"), []),
    ],
)
async def test_calls_are_found_by_what_they_have(pages: LedgerPages, sought: CallFilter, found: list[int]) -> None:
    assert found == [call.id for call in await pages.read_calls(sought, NEWEST, 10)]


async def test_attempts_come_by_call_and_number(pages: LedgerPages) -> None:
    whole = await pages.read_attempts(ANYTHING, (NEWEST, 0), 10)
    first = whole[0]

    assert [(3, 1), (3, 2), (3, 3), (2, 1), (2, 2), (1, 1)] == [(one.call_id, one.number) for one in whole]
    assert ("req-3", "ci", "local:mock", "timeout", 529) == (
        first.request_id,
        first.key_id,
        first.deployment,
        first.fault,
        first.upstream_status,
    )
    assert (2_006, 1_920, 16, 300, 40, True, True, 3_556_000) == (
        first.input_tokens,
        first.cached_input_tokens,
        first.cache_write_tokens,
        first.output_tokens,
        first.reasoning_tokens,
        first.usage_estimated,
        first.usage_clamped,
        first.cost_nano_usd,
    )


async def test_a_page_of_attempts_goes_on_within_a_call(pages: LedgerPages) -> None:
    after = await pages.read_attempts(ANYTHING, (CallId(3), 1), 3)

    assert [(3, 2), (3, 3), (2, 1)] == [(one.call_id, one.number) for one in after]


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        (CallFilter(key="dev"), [(2, 1), (2, 2)]),
        (CallFilter(fault="timeout", team="platform"), [(3, 1), (3, 2), (3, 3)]),
        (CallFilter(outcome="completed", workflow="wf-7"), [(1, 1)]),
        (CallFilter(outcome="open"), []),
        (
            CallFilter(since_ns=STARTED_NS + 2, until_ns=STARTED_NS + 3, agent="planner", model="large"),
            [(2, 1), (2, 2)],
        ),
    ],
)
async def test_attempts_are_found_by_what_their_call_has(
    pages: LedgerPages, sought: CallFilter, found: list[tuple[int, int]]
) -> None:
    assert found == [(one.call_id, one.number) for one in await pages.read_attempts(sought, (NEWEST, 0), 10)]


@pytest.mark.parametrize("fault", [None, "timeout"])
async def test_pages_of_one_attempt_go_through_all(pages: LedgerPages, fault: str | None) -> None:
    seen = []
    after = (NEWEST, 0)
    while page := await pages.read_attempts(CallFilter(fault=fault), after, 1):
        after = (page[0].call_id, page[0].number)
        seen.append(after)

    assert [(3, 1), (3, 2), (3, 3), *([] if fault else [(2, 1), (2, 2), (1, 1)])] == seen
