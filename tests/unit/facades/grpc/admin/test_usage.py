"""The service of usage decodes and encodes, and asks for exactly what it was asked."""

import pytest
from checkrein.admin.v1.usage_pb2 import QueryUsageRequest, UsageGroup
from google.protobuf.timestamp_pb2 import Timestamp

from router.admin.usage import UsageAdmin
from router.domain.faults import Fault
from router.facades.grpc.admin.usage import usage_service
from router.ports.usage import UsageQuery
from tests.support.grpc_service import USER, Service
from tests.support.usage import FixedUsage


@pytest.fixture
def usage() -> FixedUsage:
    return FixedUsage()


@pytest.fixture
def site(usage: FixedUsage) -> Service:
    return Service(usage_service, UsageAdmin(usage))


async def test_a_report_has_every_sum_and_leaves_out_what_calls_have_not(site: Service) -> None:
    report = await site.ask(QueryUsageRequest())

    assert [
        UsageGroup(
            values={"key": "=ci"},
            calls=3,
            failed_calls=1,
            input_tokens=100,
            cached_input_tokens=30,
            output_tokens=7,
            reasoning_tokens=2,
            cost_nano_usd=1_500_000_001,
            unpriced_calls=1,
        ),
        UsageGroup(calls=1),
    ] == list(report.groups)
    assert (True, False) == (report.truncated, report.partial)
    both = await site.ask(QueryUsageRequest(group_by=["model", "day"]))
    assert {"model": "=ci", "day": "=ci"} == dict(both.groups[0].values)


async def test_what_is_added_up_is_what_was_said(site: Service, usage: FixedUsage) -> None:
    await site.ask(QueryUsageRequest())
    await site.ask(
        QueryUsageRequest(
            group_by=["tag", "day"],
            key="k",
            team="t",
            agent="a",
            workflow="w",
            model="m",
            since=Timestamp(seconds=1),
            until=Timestamp(seconds=2),
            limit=2**31 - 1,
        )
    )
    for limit in (-1, 0):
        await site.ask(QueryUsageRequest(limit=limit))

    assert [
        UsageQuery(by=("key",), limit=1_000),
        UsageQuery(
            by=("tag", "day"),
            key="k",
            team="t",
            agent="a",
            workflow="w",
            model="m",
            since_ns=10**9,
            until_ns=2 * 10**9,
            limit=10_000,
        ),
        *[UsageQuery(by=("key",), limit=1)] * 2,
    ] == usage.asked


async def test_what_is_wrong_is_refused_by_its_field(site: Service) -> None:
    for by in (["moon"], ["key", "key"], ["key", "team", "user", "day"]):
        assert (Fault.INVALID_REQUEST, "group_by") == await site.refusal(QueryUsageRequest(group_by=by))
        assert (Fault.PERMISSION_DENIED, None) == await site.refusal(QueryUsageRequest(group_by=by), USER)
