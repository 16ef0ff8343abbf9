"""What every `BreakerStates` promises."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from router.adapters.breakers_pybreaker import PybreakerStates
from router.domain.catalog import Deployment
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.ids import DeploymentId, target_of
from router.ports.breakers import BreakerStates
from router.ports.telemetry import Telemetry
from tests.support.fakes import RecordingTelemetry, deployment

OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
ONE = deployment()
OTHER = Deployment(id=ONE.id, provider=ONE.provider, upstream_model="model", credential="second")


def to(state: BreakerState, one: Deployment = ONE) -> Transition:
    return Transition(target=one.target, deployment=one.id, credential=one.credential, to=state)


@pytest.fixture(params=[PybreakerStates])
def make(request: pytest.FixtureRequest) -> Callable[[Telemetry], BreakerStates]:
    made: Callable[[Telemetry], BreakerStates] = request.param
    return made


def test_a_target_is_closed_until_it_is_told_otherwise(make: Callable[[Telemetry], BreakerStates]) -> None:
    states = make(RecordingTelemetry())
    states.keep([ONE, OTHER])
    states.changed(to(OPEN, OTHER))

    assert [("up/model", "", CLOSED), ("up/model", "second", OPEN)] == list(states.states())


def test_every_change_is_told_once_and_held(make: Callable[[Telemetry], BreakerStates]) -> None:
    telemetry = RecordingTelemetry()
    states = make(telemetry)
    states.keep([ONE])
    held = []
    for state in (OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED, OPEN, CLOSED):
        states.changed(to(state))
        held += [now for _, _, now in states.states()]

    assert [OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED, OPEN, CLOSED] == held
    assert [to(state) for state in held] == telemetry.transitions


def test_what_is_kept_keeps_its_state_and_the_rest_is_forgotten(make: Callable[[Telemetry], BreakerStates]) -> None:
    telemetry = RecordingTelemetry()
    states = make(telemetry)
    states.keep([ONE, OTHER])
    states.changed(to(OPEN))
    states.changed(to(OPEN, OTHER))
    states.keep([ONE])

    assert [("up/model", "", OPEN)] == list(states.states())
    states.keep([])
    assert [] == list(states.states())
    assert 2 == len(telemetry.transitions)


def test_a_target_that_only_calls_under_way_know_is_held_too(make: Callable[[Telemetry], BreakerStates]) -> None:
    states = make(RecordingTelemetry())
    gone = replace(ONE, id=DeploymentId("up/gone"))
    assert target_of(gone.id, "") == gone.target
    states.changed(to(OPEN, gone))

    assert [("up/gone", "", OPEN)] == list(states.states())
