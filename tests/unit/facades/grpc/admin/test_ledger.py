"""The service of the ledger decodes and encodes, and asks for exactly what it was asked."""

import msgspec
import pytest
from checkrein.admin.v1.ledger_pb2 import (
    CallFilter,
    LedgerAttempt,
    LedgerCall,
    ListAttemptsRequest,
    ListCallsRequest,
)
from checkrein.v1.calls_pb2 import Attempt
from checkrein.v1.common_pb2 import Cost, Usage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.admin.ledger import LedgerAdmin
from router.domain.faults import Fault
from router.facades.grpc.admin.ledger import ledger_service
from router.facades.grpc.recorded import call_of
from router.ports import ledger_pages
from tests.support.grpc_service import USER, Service
from tests.support.ledger_facts import STARTED_NS, attempt, open_record, settled_record
from tests.support.pages import ListedPages, attempt_record

CALLS = [open_record(9, hold=5), settled_record(8, hold=7, attempts=(attempt(1),))]


@pytest.fixture
def pages() -> ListedPages:
    return ListedPages(calls=CALLS, attempts=[attempt_record(8, 1), attempt_record(8, 2)])


@pytest.fixture
def site(pages: ListedPages) -> Service:
    return Service(ledger_service, LedgerAdmin(pages))


async def test_a_call_is_shown_with_every_column(site: Service) -> None:
    first = await site.ask(ListCallsRequest(limit=1))
    second = await site.ask(ListCallsRequest(limit=1, after=first.next))

    assert [LedgerCall(call=call_of(CALLS[0]), hold_nano_usd=5)] == list(first.calls)
    assert [LedgerCall(call=call_of(CALLS[1]), hold_nano_usd=7)] == list(second.calls)
    assert ("call_0000000000000009", False) == (first.next, second.HasField("next"))


async def test_what_would_have_refused_a_call_is_told_as_errors_have_it(pages: ListedPages, site: Service) -> None:
    pages._calls = [msgspec.structs.replace(CALLS[1], would_refuse="rate_limited")]

    assert ["RATE_LIMITED"] == [one.would_refuse for one in (await site.ask(ListCallsRequest())).calls]


async def test_an_attempt_is_shown_with_every_column(site: Service) -> None:
    page = await site.ask(ListAttemptsRequest(limit=1))

    assert "call_0000000000000008-1" == page.next
    assert list(page.attempts) == [
        LedgerAttempt(
            call_id="call_0000000000000008",
            request_id="req-8",
            key_id="ci",
            attempt=Attempt(
                number=1,
                deployment="local:mock",
                provider="local",
                upstream_model="mock",
                start_time=Timestamp(seconds=STARTED_NS // 10**9, nanos=1),
                duration=Duration(nanos=800_000_000),
                reason="TIMEOUT",
                usage=Usage(
                    input_tokens=2_006,
                    cached_input_tokens=1_920,
                    cache_write_tokens=16,
                    output_tokens=300,
                    reasoning_tokens=40,
                    estimated=True,
                ),
                cost=Cost(total_nano_usd=3_556_000, price_version="config-1"),
            ),
        )
    ]


@pytest.mark.parametrize("kind", [ListCallsRequest, ListAttemptsRequest])
async def test_what_is_looked_for_is_what_was_said(
    site: Service, pages: ListedPages, kind: type[ListCallsRequest] | type[ListAttemptsRequest]
) -> None:
    said = CallFilter(
        key="k",
        team="o/t",
        agent="a",
        workflow="w",
        model="m",
        outcome="failed",
        reason="TIMEOUT",
        since=Timestamp(seconds=1),
        until=Timestamp(seconds=2, nanos=3),
    )
    await site.ask(kind(filter=said))
    await site.ask(kind())
    sought = ledger_pages.CallFilter(
        key="k",
        team="o/t",
        agent="a",
        workflow="w",
        model="m",
        outcome="failed",
        fault="timeout",
        since_ns=10**9,
        until_ns=2 * 10**9 + 3,
    )

    assert [sought, ledger_pages.CallFilter()] == pages.sought


@pytest.mark.parametrize("kind", [ListCallsRequest, ListAttemptsRequest])
async def test_what_is_wrong_is_refused_by_its_field(
    site: Service, kind: type[ListCallsRequest] | type[ListAttemptsRequest]
) -> None:
    wrong = kind(filter=CallFilter(outcome="lost"))
    assert (Fault.INVALID_REQUEST, "filter.outcome") == await site.refusal(wrong)
    assert (Fault.INVALID_REQUEST, "after") == await site.refusal(kind(after="x"))
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(wrong, USER)
