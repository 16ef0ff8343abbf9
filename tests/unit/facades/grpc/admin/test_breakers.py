"""The service of breakers decodes and encodes, and lets administrators open, close and reset by hand."""

import pytest
from checkrein.admin.v1.breakers_pb2 import (
    Breaker,
    CloseBreakerRequest,
    ListBreakersRequest,
    OpenBreakerRequest,
    ResetBreakerRequest,
)
from google.protobuf.message import Message

from router.admin.breakers import BreakerAdmin
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.breakers import Breakers, Passage
from router.domain.dispatch.failure import Park, Verdict
from router.domain.faults import Fault
from router.facades.grpc.admin.breakers import breaker_service
from router.facades.grpc.moments import timestamp_of
from tests.support.fakes import FakeClock, deployment, eject
from tests.support.grpc_service import USER, Service


class Site(Service):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breakers = Breakers(uniform=lambda: 0.5, changed=lambda _transition: None)
        self.breakers.follow(BreakerTerms(), [deployment()])
        self.admin = BreakerAdmin(breakers=self.breakers, clock=self.clock)
        super().__init__(breaker_service, self.admin)


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_target_is_shown_as_it_stands(site: Site) -> None:
    now = site.clock.monotonic_ns()
    for park, fault in ((Park.RATE, Fault.UPSTREAM_RATE_LIMITED), (Park.CREDENTIAL, Fault.UPSTREAM_QUOTA)):
        passage = site.breakers.enter(deployment(), now)
        assert isinstance(passage, Passage)
        passage.failed(Verdict(fault=fault, park=park), now=now)
        now += 2 * 10**9
    (shown,) = (await site.ask(ListBreakersRequest())).breakers
    (state,) = site.breakers.states(site.clock.monotonic_ns())
    ahead_ns = site.clock.wall_ns() - site.clock.monotonic_ns()
    assert state.not_before_ns is not None
    assert state.credential_parked_until_ns is not None

    assert shown == Breaker(
        target="up/model",
        deployment="up/model",
        provider="up",
        state="closed",
        calls=state.calls,
        failures=state.failures,
        slow=state.slow,
        failures_in_a_row=state.failures_in_a_row,
        not_before=timestamp_of(state.not_before_ns + ahead_ns),
        not_before_why="rate",
        credential_parked_until=timestamp_of(state.credential_parked_until_ns + ahead_ns),
        credential_parked_why="UPSTREAM_QUOTA",
    )


async def test_a_breaker_is_worked_by_hand(site: Site) -> None:
    opened = (await site.ask(OpenBreakerRequest(target="up/model"))).breaker
    assert [opened] == list((await site.ask(ListBreakersRequest())).breakers)
    closed = (await site.ask(CloseBreakerRequest(target="up/model"))).breaker
    await site.ask(OpenBreakerRequest(target="up/model"))
    reset = (await site.ask(ResetBreakerRequest(target="up/model"))).breaker

    plain = Breaker(target="up/model", deployment="up/model", provider="up", state="closed")
    assert ("open", "hand") == (opened.state, opened.opened_by)
    assert plain == closed == reset


async def test_when_an_open_one_lets_through_again_is_told(site: Site) -> None:
    eject(site.breakers, deployment(), site.clock.monotonic_ns())
    (shown,) = (await site.ask(ListBreakersRequest())).breakers

    assert ("open", True) == (shown.state, shown.opens_until.ToNanoseconds() > site.clock.wall_ns())
    assert ("failure_rate", 10, 5) == (shown.opened_by, shown.calls, shown.failures)


@pytest.mark.parametrize("kind", [OpenBreakerRequest, CloseBreakerRequest, ResetBreakerRequest])
async def test_what_is_wrong_is_refused_once_it_is_clear_who_asks(site: Site, kind: type[Message]) -> None:
    assert (Fault.INVALID_REQUEST, "target") == await site.refusal(kind())
    assert (Fault.NOT_FOUND, "target") == await site.refusal(kind(target="never"))  # type: ignore[call-arg]
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(kind(), USER)
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(ListBreakersRequest(), USER)
