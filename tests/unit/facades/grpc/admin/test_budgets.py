"""The service of budgets decodes and encodes: accounts in their unit, top-ups with typed amounts and ends."""

import asyncio
import json
from dataclasses import replace

import pytest
from checkrein.admin.v1.budgets_pb2 import (
    Account,
    CreateTopUpRequest,
    DeleteTopUpRequest,
    ListAccountsRequest,
    ListTopUpsRequest,
    TopUp,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from router.admin.budgets import BudgetAdmin
from router.admin.top_ups import TopUpAdmin
from router.domain.faults import Fault
from router.facades.grpc.admin.budgets import budget_service
from tests.support.fakes import snapshot
from tests.support.grpc_service import USER, Service
from tests.support.ledger_facts import STARTED_NS, budget, reservation
from tests.support.pipeline import Rig
from tests.support.records import MemoryRecords, PlainRecordRules

NOW = Timestamp(seconds=1_800_000_000)


class Site(Service):
    def __init__(self) -> None:
        in_force = [budget("key/ci", 100, value="ci"), budget("key/other", 7, value="other")]
        self.rig = Rig(replace(snapshot(), budgets={one.id: one for one in in_force}))
        clock, snapshots = self.rig.clock, self.rig.snapshots
        self.store = MemoryRecords()
        top_ups = TopUpAdmin(
            store=self.store,
            rules=PlainRecordRules(all=json.dumps({"name": "all", "budget": "key/ci"})),
            snapshots=snapshots,
            refresh=self._refresh,
            clock=clock,
            draw_bytes=bytes,
            turn=asyncio.Lock(),
        )
        budgets = BudgetAdmin(accounts=self.rig.ledger, snapshots=snapshots, clock=clock)
        super().__init__(budget_service, budgets, top_ups)

    async def _refresh(self) -> None:
        """Nothing is in force here."""


@pytest.fixture
def site() -> Site:
    return Site()


async def test_an_account_is_shown_as_it_stands_page_by_page(site: Site) -> None:
    await site.rig.ledger.reserve(reservation(1, hold=30, path=[("key/ci", "ci")]), STARTED_NS)
    await site.rig.ledger.reserve(reservation(2, hold=3, path=[("key/other", "other")]), STARTED_NS)
    first = await site.ask(ListAccountsRequest(limit=1))
    second = await site.ask(ListAccountsRequest(limit=1, after=first.next))
    (shown,) = first.accounts

    assert shown.reset_time.ToNanoseconds() > STARTED_NS
    assert shown == Account(
        budget="key/ci",
        scope_kind="key",
        scope_value="ci",
        unit="usd",
        window="day@UTC",
        limit=100,
        reserved=30,
        reset_time=shown.reset_time,
    )
    assert (["other"], False) == ([one.scope_value for one in second.accounts], second.HasField("next"))


@pytest.mark.parametrize(
    ("asked", "value", "end"),
    [
        (CreateTopUpRequest(budget="key/ci", amount=5, lasting=Duration(seconds=7, nanos=1)), "ci", (7, 1)),
        (CreateTopUpRequest(budget="all", amount=5, until=Timestamp(seconds=NOW.seconds + 9)), "ci", (9, 0)),
        (CreateTopUpRequest(budget="all", amount=5, lasting=Duration(seconds=7), value="*"), "ci", (7, 0)),
        (CreateTopUpRequest(budget="all", amount=5, lasting=Duration(seconds=7), value="ci"), "ci", (7, 0)),
    ],
)
async def test_a_top_up_is_made_as_it_was_counted(
    site: Site, asked: CreateTopUpRequest, value: str, end: tuple[int, int]
) -> None:
    asked.reason = "launch"
    made = (await site.ask(asked)).top_up

    assert made == TopUp(
        id=made.id,
        budget="key/ci",
        value=value,
        amount=5,
        end_time=Timestamp(seconds=NOW.seconds + end[0], nanos=end[1]),
        reason="launch",
        create_time=NOW,
    )
    assert [made] == list((await site.ask(ListTopUpsRequest(budget="key/ci"))).top_ups)
    site.rig.clock.pass_ns(10 * 10**9)
    assert [True] == [one.ended for one in (await site.ask(ListTopUpsRequest(budget="all"))).top_ups]
    assert not (await site.ask(DeleteTopUpRequest(budget="all", id=made.id))).ByteSize()
    assert [] == list((await site.ask(ListTopUpsRequest(budget="key/ci"))).top_ups)


@pytest.mark.parametrize(
    ("request_", "fault", "field"),
    [
        (CreateTopUpRequest(), Fault.INVALID_REQUEST, "budget"),
        (CreateTopUpRequest(budget="never", amount=1, lasting=Duration(seconds=1)), Fault.NOT_FOUND, None),
        (CreateTopUpRequest(budget="all", lasting=Duration(seconds=1)), Fault.INVALID_REQUEST, "amount"),
        (CreateTopUpRequest(budget="all", amount=1), Fault.INVALID_REQUEST, "until"),
        (CreateTopUpRequest(budget="all", amount=1, lasting=Duration()), Fault.INVALID_REQUEST, "lasting"),
        (CreateTopUpRequest(budget="all", amount=1, until=NOW), Fault.INVALID_REQUEST, "until"),
        (
            CreateTopUpRequest(budget="all", amount=1, lasting=Duration(seconds=1), value=""),
            Fault.INVALID_REQUEST,
            "value",
        ),
        (ListTopUpsRequest(), Fault.INVALID_REQUEST, "budget"),
        (DeleteTopUpRequest(), Fault.INVALID_REQUEST, "budget"),
        (DeleteTopUpRequest(budget="all"), Fault.INVALID_REQUEST, "id"),
        (DeleteTopUpRequest(budget="all", id="never"), Fault.NOT_FOUND, None),
    ],
    ids=lambda one: one.DESCRIPTOR.name if isinstance(one, Message) else str(one),
)
async def test_what_is_wrong_is_refused_by_its_field_once_it_is_clear_who_asks(
    site: Site, request_: Message, fault: Fault, field: str | None
) -> None:
    assert (fault, field) == await site.refusal(request_)
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(request_, USER)
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(ListAccountsRequest(), USER)
