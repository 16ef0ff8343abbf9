"""Any `LimitStates` tells how limits stand now, and looking takes nothing."""

import pytest

from router.domain.governance.permits import ConcurrencyLimit, Permit
from router.domain.governance.rate import RateLimit, Standing, Unit, costs_of
from router.pipeline.limit_states import LiveLimits
from router.ports.limit_states import LimitStates
from tests.support.fakes import SECOND
from tests.support.pipeline import Rig

RPM = RateLimit(
    id="key/ci/rpm", scope_kind="key", scope_value="ci", unit=Unit.REQUESTS, limit=60, period_ns=60 * SECOND
)
PLACES = ConcurrencyLimit(id="key/ci/concurrency", scope_kind="key", scope_value="ci", limit=2)
ONE = costs_of(requests=1, input_tokens=0, output_tokens=0)


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def limits(rig: Rig) -> LimitStates:
    return LiveLimits(
        gate=rig.pipeline.gate, book=rig.pipeline.upstream_limits, snapshots=rig.snapshots, clock=rig.clock
    )


def test_a_rate_stands_as_it_was_charged_and_drains(rig: Rig, limits: LimitStates) -> None:
    assert [Standing(Unit.REQUESTS, 60, 60, 0)] * 2 == [limits.standing(RPM), limits.standing(RPM)]
    for _ in range(3):
        rig.pipeline.gate.rates.charge((RPM,), ONE, rig.clock.monotonic)

    assert Standing(Unit.REQUESTS, 60, 57, 3 * SECOND) == limits.standing(RPM)
    rig.clock.pass_ns(2 * SECOND)
    assert Standing(Unit.REQUESTS, 60, 59, SECOND) == limits.standing(RPM)


def test_places_in_use_are_those_that_calls_hold(rig: Rig, limits: LimitStates) -> None:
    assert 0 == limits.in_use(PLACES)
    permit = rig.pipeline.gate.permits.acquire((PLACES,))
    assert isinstance(permit, Permit)

    assert 1 == limits.in_use(PLACES)
    permit.release()
    assert 0 == limits.in_use(PLACES)


def test_of_providers_that_said_nothing_nothing_is_known(limits: LimitStates) -> None:
    assert [] == list(limits.upstreams())
