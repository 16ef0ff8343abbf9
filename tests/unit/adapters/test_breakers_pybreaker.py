"""pybreaker holds what our rules decided, and its own rules decide nothing."""

import pytest
from pybreaker import CircuitBreaker

from router.adapters.breakers_pybreaker import PybreakerStates
from router.domain.dispatch.breaker import BreakerState, BreakerTerms
from router.domain.dispatch.breakers import Breakers, Passage
from router.domain.dispatch.failure import Verdict
from router.domain.faults import Fault
from tests.support.fakes import SECOND, RecordingTelemetry, deployment

FAILED = Verdict(fault=Fault.UPSTREAM_ERROR, counts=True)


def test_it_follows_the_rules_through_an_outage() -> None:
    telemetry = RecordingTelemetry()
    states = PybreakerStates(telemetry)
    breakers = Breakers(uniform=lambda: 0.5, changed=states.changed)
    breakers.follow(BreakerTerms(consecutive_failures=1), [deployment()])
    states.keep([deployment()])
    seen = []
    for second in (0, 15, 45):
        passage = breakers.enter(deployment(), second * SECOND)
        assert isinstance(passage, Passage)
        seen.append(states.states()[0][2])
        passage.failed(FAILED, now=second * SECOND) if second < 45 else passage.began(second * SECOND)
        seen.append(states.states()[0][2])

    assert ["closed", "open", "half_open", "open", "half_open", "closed"] == seen
    assert ["open", "half_open", "open", "half_open", "closed"] == [one.to for one in telemetry.transitions]


def test_a_call_that_changes_nothing_does_not_touch_it(monkeypatch: pytest.MonkeyPatch) -> None:
    states = PybreakerStates(RecordingTelemetry())
    breakers = Breakers(uniform=lambda: 0.5, changed=states.changed)
    breakers.follow(BreakerTerms(), [deployment()])
    states.keep([deployment()])
    for name in ("call", "calling", "open", "close", "half_open"):
        monkeypatch.delattr(CircuitBreaker, name)
    passage = breakers.enter(deployment(), 0)
    assert isinstance(passage, Passage)
    passage.began(0)
    passage.failed(FAILED, now=0)
    breakers.enter(deployment(), 0)

    assert BreakerState.CLOSED is states.states()[0][2]
