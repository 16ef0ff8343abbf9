"""Only administrators look at breakers and work them; what is monotonic inside is Unix time outside."""

from collections.abc import Callable

import pytest

from router.admin.breakers import BreakerAdmin, TargetView
from router.domain.dispatch.breaker import BreakerState, BreakerTerms, OpenedBy
from router.domain.dispatch.breakers import Breakers, Passage
from router.domain.dispatch.failure import Park, Verdict
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from tests.support.fakes import SECOND, FakeClock, deployment, principal

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))
TARGET = "up/model"


class Site:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(uniform=lambda: 0.5, changed=lambda _transition: None)
        self.breakers.follow(BreakerTerms(), [deployment()])
        self.admin = BreakerAdmin(breakers=self.breakers, clock=self.clock)

    def fail(self, verdict: Verdict) -> None:
        passage = self.breakers.enter(deployment(), self.clock.monotonic_ns())
        assert isinstance(passage, Passage)
        passage.failed(verdict, now=self.clock.monotonic_ns())


def test_times_are_shown_as_unix_time() -> None:
    site = Site()
    site.fail(Verdict(fault=Fault.UPSTREAM_RATE_LIMITED, park=Park.RATE))
    shown = site.admin.list(BOSS)

    assert [(site.clock.wall_ns() + SECOND, None, None)] == [
        (one.not_before_ns, one.opens_until_ns, one.credential_parked_until_ns) for one in shown
    ]


def test_a_breaker_is_worked_by_hand() -> None:
    site = Site()

    opened = site.admin.open(BOSS, TARGET)
    assert (BreakerState.OPEN, OpenedBy.HAND, None) == (
        opened.state.state,
        opened.state.opened_by,
        opened.opens_until_ns,
    )
    assert BreakerState.CLOSED is site.admin.close(BOSS, TARGET).state.state


def test_a_reset_forgets_what_closing_leaves() -> None:
    site = Site()
    site.fail(Verdict(fault=Fault.UPSTREAM_QUOTA, park=Park.CREDENTIAL))

    assert Fault.UPSTREAM_QUOTA is site.admin.close(BOSS, TARGET).state.credential_parked_why
    assert site.admin.reset(BOSS, TARGET).state.credential_parked_why is None


WAYS: list[Callable[[BreakerAdmin, Principal, str], TargetView]] = [
    BreakerAdmin.open,
    BreakerAdmin.close,
    BreakerAdmin.reset,
]


@pytest.mark.parametrize("way", WAYS)
def test_a_target_that_is_not_configured_is_not_found(
    way: Callable[[BreakerAdmin, Principal, str], TargetView],
) -> None:
    with pytest.raises(RouterError) as refused:
        way(Site().admin, BOSS, "up/other")

    assert (Fault.NOT_FOUND, "target") == (refused.value.refusal.fault, refused.value.refusal.param)


@pytest.mark.parametrize("way", [*WAYS, lambda admin, caller, _target: admin.list(caller)])
def test_only_administrators_may(way: Callable[[BreakerAdmin, Principal, str], object]) -> None:
    site = Site()
    with pytest.raises(RouterError) as refused:
        way(site.admin, principal(), TARGET)

    assert Fault.PERMISSION_DENIED is refused.value.refusal.fault
    assert BreakerState.CLOSED is site.breakers.states(0)[0].state
