"""What becomes of a call whose deployments fail, with everything but the sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Model, Snapshot
from router.domain.dialects.arriving_form import Ending
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.dispatch.retry import RetryTerms
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.governance.budget import Budget, BudgetId, Crossed, Exhausted, Scope, ScopeKind, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.windows import Lifetime
from router.domain.ids import DeploymentId, Epoch, ModelName
from router.domain.principal import Principal
from router.domain.settlement import Outcome, Reservation, Settlement
from router.domain.stream import Event, EventKind
from router.pipeline.call import Call
from router.pipeline.upload import KEPT_BYTES_MAX, Upload
from router.ports.ledger import LedgerUnavailable
from tests.support.fakes import SECOND, deployment, principal, snapshot
from tests.support.forms import BOUNDARY, CONTENT_TYPE
from tests.support.pipeline import BreakableLedger, Rig
from tests.support.waiting import turns

DOWN = Failure(kind=FailureKind.STATUS, status=500, message="down")
LONG = Failure(kind=FailureKind.STATUS, status=400, message="too long", code="context_length_exceeded")
WHOLE = Event(EventKind.COMPLETE, b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
UNARY = '{"model":"small","messages":[{"role":"user","content":"hi"}],"max_tokens":10}'
AT_ONCE = ConcurrencyLimit(id="deployment/first/concurrency", scope_kind="deployment", scope_value="first", limit=1)


RATE = RateLimit(
    id="rpm", scope_kind="deployment", scope_value="d", unit=RateUnit.REQUESTS, limit=5, period_ns=60 * SECOND
)


def place(name: str, **more: object) -> Deployment:
    return replace(deployment(), id=DeploymentId(name), **more)  # type: ignore[arg-type]  # members by name


def routed(*deployments: Deployment, retry: RetryTerms | None = None, **model: object) -> Snapshot:
    base = snapshot(attempts=4)
    small = Model(name=ModelName("small"), deployments=deployments, **model)  # type: ignore[arg-type]  # as above
    other = Model(name=ModelName("other"), deployments=(place("other", model=ModelName("other")),))
    return replace(base, models={small.name: small, other.name: other}, retry=retry or base.retry)


async def read_once(rig: Rig, call: Call) -> None:
    with rig.pipeline.open(call) as reply:
        await reply.read()


async def served(rig: Rig, *, who: Principal | None = None, body: str = UNARY) -> Settlement:
    """Serve a call to its end, whatever that is, and return what is put on record."""
    with suppress(RouterError):
        await read_once(rig, rig.call(body, who=who))
    return rig.telemetry.settled[-1]


async def test_another_deployment_serves_what_the_first_one_could_not() -> None:
    rig = Rig(routed(place("first"), place("second", tier=2)))
    rig.upstream().fail(DOWN)
    rig.upstream().feed(WHOLE)
    settled = await served(rig)

    assert (Outcome.COMPLETED, "second") == (settled.outcome, settled.served_deployment)
    assert [("first", 500), ("second", None)] == [(row.deployment, row.upstream_status) for row in settled.attempts]


async def test_who_cannot_even_be_reached_is_an_attempt_like_any_other() -> None:
    rig = Rig(routed(place("first"), place("second", tier=2)))
    rig.upstreams.replies.append(Failure(kind=FailureKind.CONNECT, message="refused"))
    rig.upstream().feed(WHOLE)

    assert Outcome.COMPLETED is (await served(rig)).outcome


async def test_another_model_serves_last_and_the_first_error_is_told() -> None:
    rig = Rig(routed(place("first"), fallbacks=(ModelName("other"),)))
    for failure in (DOWN, DOWN, replace_message(DOWN, "also down")):
        rig.upstream().fail(failure)
    settled = await served(rig)

    assert ["first", "first", "other"] == [row.deployment for row in settled.attempts]
    assert (Outcome.FAILED, Fault.UPSTREAM_ERROR) == (settled.outcome, settled.fault)


def replace_message(failure: Failure, message: str) -> Failure:
    return Failure(kind=failure.kind, status=failure.status, message=message)


async def test_no_other_model_serves_a_key_that_wants_none() -> None:
    rig = Rig(routed(place("first"), fallbacks=(ModelName("other"),), retry=RetryTerms(attempts_per_deployment=1)))
    rig.upstream().fail(DOWN)
    settled = await served(rig, who=replace(principal("*"), may_substitute=False))

    assert ["first"] == [row.deployment for row in settled.attempts]


async def test_a_caller_may_name_its_own_fallbacks_which_are_not_sent_on() -> None:
    rig = Rig(routed(place("first"), retry=RetryTerms(attempts_per_deployment=1)))
    rig.upstream().fail(DOWN)
    rig.upstream().feed(WHOLE)
    body = UNARY[:-1] + ',"fallbacks":["other"],"disable_fallbacks":false}'
    settled = await served(rig, who=replace(principal("*"), may_substitute=False), body=body)

    assert "other" == settled.served_deployment
    assert not any(b"fallbacks" in request.body for request in rig.upstreams.requests)


async def test_a_prompt_that_is_too_long_goes_where_more_fits() -> None:
    rig = Rig(routed(place("first"), context_window_fallbacks=(ModelName("other"),)))
    rig.upstream().fail(LONG)
    rig.upstream().feed(WHOLE)

    assert "other" == (await served(rig)).served_deployment


async def test_an_open_breaker_sends_calls_elsewhere_without_asking() -> None:
    rig = Rig(routed(place("first"), place("second", tier=2)))
    rig.pipeline.means.breakers.follow(
        rig.snapshots.current.breaker, rig.snapshots.current.models[ModelName("small")].deployments
    )
    rig.pipeline.means.breakers.open(place("first").target)
    rig.upstream().feed(WHOLE)

    assert ["second"] == [row.deployment for row in (await served(rig)).attempts]


async def test_when_all_breakers_are_open_the_caller_is_told_when_to_come_back() -> None:
    rig = Rig(routed(place("first")))
    breakers = rig.pipeline.means.breakers
    for _ in range(5):
        rig.upstream().fail(Failure(kind=FailureKind.IDLE_TIMEOUT, message="silent"))
        await served(rig)
    calls = len(rig.upstreams.requests)
    refused = rig.call(UNARY)
    with pytest.raises(RouterError) as caught, rig.pipeline.open(refused) as reply:
        await reply.read()

    assert (Fault.OVERLOADED, calls) == (caught.value.refusal.fault, len(rig.upstreams.requests))
    until = breakers.peek(place("first").target, rig.clock.monotonic_ns())
    assert until is not None
    assert -(-(until - rig.clock.monotonic_ns()) // 1_000_000) == caught.value.refusal.retry_after_ms


@pytest.mark.parametrize(("credentials", "counted"), [(("",), 2), (("one", "two"), 1)])
async def test_each_try_at_a_target_counts_and_the_same_with_another_credential_does_not(
    credentials: tuple[str, ...], counted: int
) -> None:
    places = [place("first", credential=name) for name in credentials]
    rig = Rig(routed(*places, retry=RetryTerms(attempts_total=2, backoff_base_ns=1)))
    rig.upstream().fail(DOWN)
    rig.upstream().fail(DOWN)
    await served(rig)
    states = rig.pipeline.means.breakers.states(rig.clock.monotonic_ns())

    assert 2 == len(rig.upstreams.requests)
    assert counted == sum(one.failures for one in states)


async def test_a_full_deployment_is_passed_over() -> None:
    full = place("first", concurrency_limits=(AT_ONCE,))
    rig = Rig(routed(full, place("second", tier=2)))
    first = rig.upstream()
    rig.upstream().feed(WHOLE)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(served(rig))
        await turns(3)
        assert "second" == (await served(rig)).served_deployment
        first.feed(WHOLE)

    assert {} == rig.pipeline.gate.permits.gauges()


def in_budget(limit: int) -> tuple[Budget, Principal]:
    budget = Budget(
        id=BudgetId("b"), scope=Scope(kind=ScopeKind.KEY, value="ci"), unit=Unit.USD, limit=limit, window=Lifetime()
    )
    return budget, replace(principal("*"), accounts=((budget.id, "ci"),))


async def test_what_failed_attempts_may_have_cost_is_held_beside_the_next_one() -> None:
    budget, who = in_budget(10**9)
    rig = Rig(replace(routed(place("first"), place("second", tier=2)), budgets={budget.id: budget}))
    rig.upstream().fail(Failure(kind=FailureKind.RESET, message="gone"))  # it may have been billed for its input
    second = rig.upstream()
    call = rig.call(UNARY, who=who)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read_once(rig, call))
        await turns(5)
        admission = call.admission
        assert admission is not None
        assert 0 < call.spent.usd
        assert call.spent.usd + admission.sized.amounts.usd == admission.held.usd
        assert admission.held.usd == rig.ledger._accounts.pending(call.id).amounts.usd
        second.feed(WHOLE)

    settled = rig.telemetry.settled[-1]
    assert settled.cost_nano_usd == sum(row.cost_nano_usd or 0 for row in settled.attempts)
    assert 0 == rig.ledger.standing((budget.id, "ci"), rig.clock.wall_ns()).reserved


async def test_an_attempt_that_its_budget_cannot_pay_is_not_made() -> None:
    budget, who = in_budget(1_000_000)
    dear = place("dear", tier=2, price=None)
    rig = Rig(replace(routed(place("first"), dear), budgets={budget.id: budget}))
    rig.upstream().fail(Failure(kind=FailureKind.IDLE_TIMEOUT, message="silent"))
    settled = await served(rig, who=who)

    assert (["first"], Fault.TIMEOUT) == ([row.deployment for row in settled.attempts], settled.fault)


async def test_a_deployment_that_was_not_asked_gets_its_charge_back(monkeypatch: pytest.MonkeyPatch) -> None:
    budget, who = in_budget(10**9)
    second = place("second", tier=2, rate_limits=(RATE,))
    rig = Rig(replace(routed(place("first"), second), budgets={budget.id: budget}))
    rig.upstream().fail(Failure(kind=FailureKind.RESET, message="gone"))

    def down(*_: object) -> tuple[()]:
        raise LedgerUnavailable("broken by the test")

    monkeypatch.setattr(rig.ledger, "extend", down)
    settled = await served(rig, who=who)

    assert (Fault.OVERLOADED, 1) == (settled.fault, len(settled.attempts))
    assert [5] == [one.remaining for one in rig.pipeline.gate.standings((RATE,))]


async def test_a_caller_that_leaves_during_a_pause_is_not_asked_for_again() -> None:
    rig = Rig(routed(place("first"), retry=RetryTerms(backoff_base_ns=60 * SECOND, backoff_cap_ns=60 * SECOND)))
    rig.upstream().fail(DOWN)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_once(rig, rig.call(UNARY)))
        await turns(5)
        reading.cancel()

    assert 1 == len(rig.upstreams.requests)
    assert Outcome.CLIENT_CANCELLED is rig.telemetry.settled[-1].outcome


async def test_a_drain_ends_a_pause() -> None:
    rig = Rig(routed(place("first"), retry=RetryTerms(backoff_base_ns=60 * SECOND, backoff_cap_ns=60 * SECOND)))
    rig.upstream().fail(DOWN)
    why = Refusal(fault=Fault.OVERLOADED, message="stopping")
    call = rig.call(UNARY)

    async def refused() -> Refusal:
        with pytest.raises(RouterError) as caught:
            await read_once(rig, call)
        return caught.value.refusal

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(refused())
        await turns(5)
        rig.pipeline.interrupt_all(why)

    assert why == reading.result()


async def test_a_deployment_that_refuses_crowds_gets_smaller_ones() -> None:
    rig = Rig(routed(place("first", adaptive=True), place("second", tier=2), retry=RetryTerms(attempts_total=2)))
    planner, first = rig.pipeline.planner, place("first", adaptive=True)
    limit = planner._adaptive_limit(first)
    while limit.limit > 1:
        limit.refused(rig.clock.monotonic_ns(), rig.clock.monotonic_ns())
    slow = rig.upstream()
    rig.upstream().feed(WHOLE)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(served(rig))
        await turns(3)
        assert planner.is_full(first)
        assert "second" == (await served(rig)).served_deployment
        slow.feed(WHOLE)

    assert "first" == rig.telemetry.settled[-1].served_deployment
    assert not planner.is_full(first)


async def test_calls_that_come_together_find_a_deployment_full_as_those_that_come_one_by_one() -> None:
    class CommitsTogether(BreakableLedger):
        async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
            await turns(3)
            return await super().reserve(reservation, wall_ns)

    first = place("first", adaptive=True, concurrency_limits=(places(9),), rate_limits=(RATE,))
    rig = Rig(routed(first, place("second", tier=2)), ledger=CommitsTogether(epoch=Epoch(1)))
    limit = rig.pipeline.planner._adaptive_limit(first)
    while limit.limit > 1:
        limit.refused(rig.clock.monotonic_ns(), rig.clock.monotonic_ns())
    streams = [rig.upstream() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        for _ in streams:
            tasks.create_task(served(rig))
        await turns(8)
        assert (1, {"first/places": 1}) == (rig.pipeline.planner.loads[first.target].outstanding, permits(rig))
        assert [4] == [one.remaining for one in rig.pipeline.gate.standings((RATE,))]
        for stream in streams:
            stream.feed(WHOLE)

    assert ["first", "second", "second"] == sorted(str(one.served_deployment) for one in rig.telemetry.settled)
    assert {} == permits(rig)


def permits(rig: Rig) -> dict[str, int]:
    return rig.pipeline.gate.permits.gauges()


async def test_a_refusal_of_too_many_calls_is_felt() -> None:
    rig = Rig(routed(place("first", adaptive=True), retry=RetryTerms(attempts_total=1)))
    limit = rig.pipeline.planner._adaptive_limit(place("first", adaptive=True))
    before = limit.limit
    rig.upstream().fail(Failure(kind=FailureKind.STATUS, status=429, message="busy"))
    await served(rig)

    assert limit.limit < before


async def test_a_limit_that_is_found_out_begins_at_the_operators_own_and_follows_it() -> None:
    rig = Rig(routed(place("first", adaptive=True, concurrency_limits=(places(10),)), retry=RetryTerms()))
    planner, first = rig.pipeline.planner, place("first", adaptive=True, concurrency_limits=(places(10),))
    limit = planner._adaptive_limit(first)
    before = limit.limit
    limit.refused(1, 1)
    cut = limit.limit
    lower = routed(place("first", adaptive=True, concurrency_limits=(places(5),)))
    rig.snapshots.current = replace(lower, revision=rig.snapshots.current.revision + 1)
    rig.upstream().feed(WHOLE)
    await served(rig)

    assert (10, 8, 5) == (before, cut, planner._adaptive_limit(first).limit)


def places(limit: int) -> ConcurrencyLimit:
    return ConcurrencyLimit(id="first/places", scope_kind="deployment", scope_value="first", limit=limit)


def coming(more: Callable[[], Awaitable[bytes]], *, size: int = 0) -> Upload:
    """An upload of a file of so many bytes, of which `more` brings the end."""
    return Upload(Ending(CONTENT_TYPE.encode(), DELIMITER, frozenset(), frozenset()), bytes(size), more, length=0)


DELIMITER = f"\r\n--{BOUNDARY}".encode()


def ending(*pieces: bytes) -> Callable[[], Awaitable[bytes]]:
    left = [*pieces]

    async def more() -> bytes:
        return left.pop(0) if left else b""

    return more


@pytest.mark.parametrize(("size", "asked"), [(KEPT_BYTES_MAX // 2, 2), (KEPT_BYTES_MAX + 1, 1)])
async def test_a_file_is_sent_again_as_long_as_it_is_kept(size: int, asked: int) -> None:
    rig = Rig(routed(place("first"), place("second", tier=2)))
    rig.upstream().fail(DOWN)
    rig.upstream().feed(WHOLE)
    call = rig.call(UNARY)
    call.upload = coming(ending(DELIMITER + b"--\r\n"), size=size)
    with suppress(RouterError):
        await read_once(rig, call)

    assert [True] * asked == [body.endswith(bytes(9) + DELIMITER + b"--\r\n") for body in rig.upstreams.sent]
    assert asked == len(rig.telemetry.settled[-1].attempts)


async def test_a_call_that_is_closed_from_elsewhere_stops_sending_at_once() -> None:
    rig = Rig(routed(place("first")))
    rig.upstream()
    call = rig.call(UNARY)
    never = asyncio.get_running_loop().create_future()
    call.upload = coming(lambda: never, size=9)
    why = Refusal(fault=Fault.OVERLOADED, message="bye")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_refusal_of(rig, call))
        await turns(5)
        assert call.attempts
        rig.pipeline.interrupt_all(why)

    assert why is reading.result()
    assert (Outcome.INTERRUPTED, 0) == (rig.telemetry.settled[-1].outcome, rig.telemetry.settled[-1].cost_nano_usd)
    assert never.cancelled()
    assert call.wake is None


async def _refusal_of(rig: Rig, call: Call) -> Refusal:
    with pytest.raises(RouterError) as caught:
        await read_once(rig, call)
    return caught.value.refusal


async def test_a_file_that_may_not_go_on_ends_the_call_with_its_own_refusal() -> None:
    rig = Rig(routed(place("first"), place("second", tier=2)))
    rig.upstream()
    call = rig.call(UNARY)
    call.upload = coming(ending(DELIMITER), size=9)

    assert "no head" in (await _refusal_of(rig, call)).message
    settled = rig.telemetry.settled[-1]
    assert (Outcome.FAILED, 1, 0) == (settled.outcome, len(settled.attempts), settled.cost_nano_usd)


async def test_the_time_in_which_a_file_came_is_not_its_provider_s() -> None:
    rig = Rig(routed(place("first"), place("second", tier=2)))
    rig.upstream().feed(WHOLE)
    call = rig.call(UNARY)
    bring = ending(DELIMITER + b"--\r\n")
    waiting: list[int] = []

    async def late() -> bytes:
        rig.clock.pass_ns(30 * SECOND)
        waiting.append(rig.pipeline.planner.loads[place("first").target].waiting)
        return await bring()

    call.upload = coming(late, size=9)
    await read_once(rig, call)
    load = rig.pipeline.planner.loads[place("first").target]

    assert [0, 0] == waiting
    assert (0, 0.0) == (load.waiting, load.peak_ns(rig.clock.monotonic_ns()))
    assert 1 == load._samples, "its first token came at once after that"
    assert 60 * SECOND == rig.telemetry.settled[-1].duration_ns
