"""The service of limits decodes and encodes: what a rate has not, a number of calls at once has, and the other way."""

from dataclasses import replace

import pytest
from checkrein.admin.v1.limits_pb2 import (
    Limit,
    ListLimitsRequest,
    ListUpstreamLimitsRequest,
    UpstreamLimit,
    UpstreamUnit,
)
from google.protobuf.duration_pb2 import Duration

from router.admin.limits import LimitAdmin
from router.domain.faults import Fault
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Smoothing, Standing, Unit
from router.domain.governance.upstream_limits import Left
from router.domain.ids import DeploymentId, ProviderId
from router.domain.principal import KeyEntry
from router.facades.grpc.admin.limits import limit_service
from router.ports.limit_states import UpstreamStanding
from tests.support.fakes import SECOND, FixedSnapshots, principal, snapshot
from tests.support.grpc_service import USER, Service

RPM = RateLimit(
    id="key/ci/rpm",
    scope_kind="key",
    scope_value="ci",
    unit=Unit.REQUESTS,
    limit=60,
    period_ns=60 * SECOND,
    smoothing=Smoothing.BURST,
)
PLACES = ConcurrencyLimit(id="key/ci/concurrency", scope_kind="key", scope_value="ci", limit=2, observe=True)
UPSTREAMS = [
    UpstreamStanding(
        deployment=DeploymentId("up/a"),
        credential="",
        provider=ProviderId("up"),
        blocked_ns=7,
        left=(Left(Unit.REQUESTS, 100, 40, 5, 3), Left(Unit.OUTPUT_TOKENS, None, None, None, 0)),
    ),
    UpstreamStanding(
        deployment=DeploymentId("up/b"), credential="second", provider=ProviderId("up"), blocked_ns=0, left=()
    ),
]


class FixedStates:
    def standing(self, limit: RateLimit) -> Standing:
        assert limit is RPM
        return Standing(Unit.REQUESTS, 60, 58, 2 * SECOND + 1)

    def in_use(self, limit: ConcurrencyLimit) -> int:
        assert limit is PLACES
        return 1

    def upstreams(self) -> list[UpstreamStanding]:
        return UPSTREAMS


@pytest.fixture
def site() -> Service:
    who = replace(principal("small"), rate_limits=(RPM,), concurrency_limits=(PLACES,))
    entry = KeyEntry(sha256=bytes(32), principal=who)
    snapshots = FixedSnapshots(replace(snapshot(), keys={entry.sha256: entry}))
    return Service(limit_service, LimitAdmin(states=FixedStates(), snapshots=snapshots))


async def test_limits_are_shown_as_they_stand_page_by_page(site: Service) -> None:
    whole = await site.ask(ListLimitsRequest())
    first = await site.ask(ListLimitsRequest(limit=1))
    second = await site.ask(ListLimitsRequest(limit=1, after=first.next))

    places = Limit(scope_kind="key", scope_value="ci", limit="concurrency", limit_value=2, in_use=1, observed=True)
    rate = Limit(
        scope_kind="key",
        scope_value="ci",
        limit="rpm",
        limit_value=60,
        remaining=58,
        resets_in=Duration(seconds=2, nanos=1),
        smoothing="burst",
    )
    assert ([places, rate], False) == (list(whole.limits), whole.HasField("next"))
    assert [places] == list(first.limits)
    assert ([rate], False) == (list(second.limits), second.HasField("next"))


async def test_limits_are_found_by_their_scope(site: Service) -> None:
    for request, count in (
        (ListLimitsRequest(scope_kind="key"), 2),
        (ListLimitsRequest(scope_value="ci"), 2),
        (ListLimitsRequest(scope_kind="user"), 0),
        (ListLimitsRequest(scope_value=""), 0),
    ):
        assert count == len((await site.ask(request)).limits)


async def test_what_providers_say_is_shown_as_far_as_they_said_it(site: Service) -> None:
    whole = await site.ask(ListUpstreamLimitsRequest())
    first = await site.ask(ListUpstreamLimitsRequest(limit=1))
    rest = await site.ask(ListUpstreamLimitsRequest(after=first.next))

    busy = UpstreamLimit(
        deployment="up/a",
        provider="up",
        blocked=Duration(nanos=7),
        units=[
            UpstreamUnit(
                unit="requests", limit_value=100, remaining=40, resets_in=Duration(nanos=5), age=Duration(nanos=3)
            ),
            UpstreamUnit(unit="output_tokens", age=Duration()),
        ],
    )
    silent = UpstreamLimit(deployment="up/b", provider="up", credential="second")
    assert [busy, silent] == list(whole.limits)
    assert ([busy], [silent]) == (list(first.limits), list(rest.limits))


async def test_what_is_wrong_is_refused_by_its_field(site: Service) -> None:
    assert (Fault.INVALID_REQUEST, "scope_kind") == await site.refusal(ListLimitsRequest(scope_kind="moon"))
    assert (Fault.INVALID_REQUEST, "after") == await site.refusal(ListLimitsRequest(after="!"))
    assert (Fault.INVALID_REQUEST, "after") == await site.refusal(ListUpstreamLimitsRequest(after=""))
    for request in (ListLimitsRequest(scope_kind="moon"), ListUpstreamLimitsRequest(after="!")):
        assert (Fault.PERMISSION_DENIED, None) == await site.refusal(request, USER)
