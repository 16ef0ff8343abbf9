"""A call takes little of the disk: 10 million of them are less than 6 GB."""

import contextlib
import hashlib
import sqlite3
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from router.domain.governance.budget import Amounts
from router.domain.governance.windows import Calendar, CalendarUnit
from router.domain.ids import CallId, CallIds, DeploymentId, Epoch, ProviderId, format_call_id
from router.domain.money import NanoUsd
from router.domain.settlement import Labels, Reservation, Settlement
from router.domain.usage import TokenUsage
from tests.support.fakes import SECOND
from tests.support.ledger_facts import DAY, STARTED_NS, budget, reservation, settlement
from tests.support.sqlite_ledger import opened

CALLS = 20_000
ROW_BYTES_MAX = 600
MONTH = Calendar(unit=CalendarUnit.MONTH, zone=DAY.zone)
ACCOUNTS = (("key/ci/usd/month", "ci"), ("team/acme/platform/usd/month", "acme/platform"))


@pytest.mark.slow
@pytest.mark.parametrize("path", [(), ACCOUNTS], ids=["without budgets", "with two budgets"])
async def test_a_row_with_its_labels_and_its_attempt_takes_600_bytes_at_most(
    path: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    """T23: 20,000 calls as agents make them, with all that the file has beside: schema, indexes, unused pages."""
    store = tmp_path / "calls.db"
    ids = CallIds(Epoch(1))
    async with opened(store) as ledger:
        ledger.set_budgets(budget(name, 10**15, window=MONTH) for name, _ in path)
        for number in range(CALLS):
            opening, end = call(number, ids.take(STARTED_NS + number * SECOND), path)
            await ledger.reserve(opening, opening.started_ns)
            ledger.settle(end)
            if not number % 1_000:
                await ledger.read_call(opening.id)  # what came before is committed then, and the journal has room
    with contextlib.closing(sqlite3.connect(store)) as connection:
        assert [(CALLS,)] == connection.execute("SELECT count(*) FROM calls").fetchall()
    row_bytes = store.stat().st_size / CALLS
    print(f"{row_bytes:.0f} bytes a row")

    assert row_bytes <= ROW_BYTES_MAX


def call(number: int, call_id: CallId, path: tuple[tuple[str, str], ...]) -> tuple[Reservation, Settlement]:
    """Make a call of an agent in a workflow, with names and numbers as long as they usually are."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    labels = Labels(
        workflow_id=str(UUID(digest[:32])),
        parent_call_id=format_call_id(call_id),
        agent="crawler-eu",
        tags="nightly,eu",
    )
    started_ns = STARTED_NS + number * SECOND
    taken_ns = 800_000_000 + int(digest[:7], 16)
    usage = TokenUsage(input=2_000 + number % 6_000, cached_input=1_920, output=number % 900, reasoning=number % 90)
    cost = NanoUsd(usage.input * 250 + usage.output * 2_000)
    opening = reservation(0, labels=labels, path=path, amounts=Amounts(61_234_500, 8_120, 1, 600))
    end = settlement(0, labels=labels, usage=usage, cost=cost, spent=Amounts(cost, usage.input + usage.output, 1, 2))
    attempt = msgspec.structs.replace(
        end.attempts[0],
        deployment=DeploymentId("openai/gpt-5-mini"),
        provider=ProviderId("openai"),
        upstream_model="gpt-5-mini",
        started_ns=started_ns + 300_000,
        duration_ns=taken_ns,
        usage=usage,
        upstream_status=None,
        price_version="litellm-1.106.2",
    )
    common = {"id": call_id, "request_id": digest[32:], "asked_model": "gpt-5-mini", "started_ns": started_ns}
    return (
        msgspec.structs.replace(opening, **common),
        msgspec.structs.replace(
            end,
            **common,
            served_deployment=attempt.deployment,
            served_model="gpt-5-mini-2025-08-07",
            duration_ns=taken_ns + 400_000,
            price_version=attempt.price_version,
            attempts=(attempt,),
        ),
    )
