"""A call starts with everything it may use on record, or leaves nothing behind."""

import asyncio
from dataclasses import replace
from datetime import UTC

import pytest

from router.domain.catalog import Snapshot
from router.domain.faults import Fault, RouterError
from router.domain.governance.budget import Amounts, Budget, BudgetId, BudgetMode, Scope, ScopeKind, Unit
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.windows import Calendar, CalendarUnit
from router.domain.principal import Mode, Principal
from router.domain.settlement import Outcome
from router.domain.stream import END_EVENT, ERROR_EVENT, TRUNCATED, Event, EventKind
from tests.support.fakes import SECOND, chunk, deployment, principal, snapshot, usage_chunk
from tests.support.pipeline import Rig

BUDGET = BudgetId("key/ci/usd/day@UTC")
DAY = Calendar(unit=CalendarUnit.DAY, zone=UTC)
USD = 1_000_000_000
BODY = '{"model":"small","messages":[{"role":"user","content":"hi"}],"max_tokens":%d,"stream":true}'
BOUND = 40  # bytes of the messages, and 8
RPM = RateLimit(
    id="key/ci/rpm", scope_kind="key", scope_value="ci", unit=RateUnit.REQUESTS, limit=2, period_ns=60 * SECOND
)
ONE = ConcurrencyLimit(id="key/ci/concurrency", scope_kind="key", scope_value="ci", limit=1)


def budget(limit: int, *, scope: Scope | None = None, name: str = BUDGET) -> Budget:
    return Budget(
        id=BudgetId(name),
        scope=scope or Scope(kind=ScopeKind.KEY, value="ci"),
        unit=Unit.USD,
        limit=limit,
        window=DAY,
        mode=BudgetMode.STRICT,
    )


def with_budgets(*budgets: Budget, tree: tuple[Budget, ...] = ()) -> Snapshot:
    return replace(snapshot(), budgets={one.id: one for one in (*budgets, *tree)}, tree_budgets=tree)


def budgeted(**more: object) -> Principal:
    return replace(principal("*"), accounts=((BUDGET, "ci"),), **more)  # type: ignore[arg-type] # its own members


def left(rig: Rig) -> int | None:
    return rig.ledger.room([(BUDGET, "ci")], rig.clock.wall_ns()).usd


async def test_an_admitted_call_is_on_record_and_open() -> None:
    rig = Rig()
    call = rig.call()
    await rig.pipeline.gate.admit(call, deployment(), call.request)
    record = await rig.ledger.read_call(call.id)

    assert record is not None
    assert ("r1", "ci", "small", "a1", None, 0) == (
        record.request_id,
        record.key_id,
        record.asked_model,
        record.agent,
        record.outcome,
        record.hold_nano_usd,
    )


async def test_a_store_that_cannot_record_refuses() -> None:
    rig = Rig()
    rig.ledger.broken = True
    with pytest.raises(RouterError) as caught:
        await rig.pipeline.gate.admit(call := rig.call(), deployment(), call.request)

    assert Fault.OVERLOADED is caught.value.refusal.fault


async def test_the_worst_case_is_held_and_what_was_used_is_posted() -> None:
    rig = Rig(with_budgets(budget(USD)))
    upstream = rig.upstream()
    upstream.chunk("a")
    with rig.pipeline.open(rig.call(BODY % 100, who=budgeted())) as reply:
        await reply.read()
        held = USD - (left(rig) or 0)
        upstream.feed(chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)
        await reply.read()

    assert held >= 100 * 10_000 + 32 * 2_000
    assert USD - (10 * 2_000 + 10_000) == left(rig)


async def test_a_call_that_does_not_fit_is_refused_by_name_and_leaves_nothing() -> None:
    rig = Rig(with_budgets(budget(USD // 1_000)))
    call = rig.call(BODY % 1_000, who=budgeted(rate_limits=(RPM,), concurrency_limits=(ONE,)))
    with pytest.raises(RouterError) as caught, rig.pipeline.open(call) as reply:
        await reply.read()
    refusal = caught.value.refusal

    assert (Fault.BUDGET_EXHAUSTED, 429) == (refusal.fault, refusal.status)
    assert refusal.details is not None
    assert (BUDGET, "key", "usd", USD // 1_000, 0, 0) == tuple(
        refusal.details[name] for name in ("limit", "scope", "unit", "limit_value", "used", "reserved")
    )
    assert refusal.details["resets_at"] == -(-rig.clock.wall_ns() // (86_400 * SECOND)) * 86_400
    assert [] == rig.upstreams.requests
    assert USD // 1_000 == left(rig)
    assert {} == rig.pipeline.gate.permits.gauges()
    assert [2] == [standing.remaining for standing in rig.pipeline.gate.rates.standings((RPM,), rig.clock.monotonic)]
    assert [Outcome.REFUSED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_without_a_maximum_the_affordable_one_is_written() -> None:
    rig = Rig(with_budgets(budget(USD // 100)))
    rig.upstream().feed(chunk("a"), chunk("", finish="stop"), END_EVENT)
    body = '{"model":"small","messages":[{"role":"user","content":"hi"}],"stream":true}'
    with rig.pipeline.open(rig.call(body, who=budgeted())) as reply:
        await reply.read()

    written = rig.upstreams.requests[0].body
    assert b'"max_completion_tokens":9' in written  # $0.01 less the input, at $10 a million


async def test_a_stream_that_passes_its_maximum_goes_on_while_there_is_room_for_it() -> None:
    rig = Rig(with_budgets(budget(USD)))
    upstream = rig.upstream()
    upstream.feed(*[chunk("a")] * 400)
    upstream.feed(chunk("", finish="stop"), usage_chunk(10, 400), END_EVENT)
    events: list[Event] = []
    with rig.pipeline.open(rig.call(BODY % 64, who=budgeted())) as reply:
        events += await reply.read()
        await reply.each(lambda batch: bool(events.extend(batch)) or batch[-1].kind is EventKind.CHUNK)

    assert 401 == sum(event.kind is EventKind.CHUNK for event in events)
    assert END_EVENT == events[-1]
    assert [Outcome.COMPLETED] == [settled.outcome for settled in rig.telemetry.settled]
    assert [] == rig.telemetry.anomalies
    assert USD - (10 * 2_000 + 400 * 10_000) == left(rig)


async def test_an_upstream_that_ignores_its_maximum_is_cut_where_the_account_ends() -> None:
    rig = Rig(with_budgets(budget(64 * 10_000 + 40 * 2_500)))
    upstream = rig.upstream()
    for _ in range(70):
        upstream.chunk("a")
    events: list[Event] = []
    with rig.pipeline.open(rig.call(BODY % 64, who=budgeted())) as reply:
        events += await reply.read()
        await reply.each(lambda batch: bool(events.extend(batch)) or batch[-1].kind is EventKind.CHUNK)

    assert 65 == sum(event.kind is EventKind.CHUNK for event in events)
    assert ERROR_EVENT == events[-1]
    assert upstream.aborted
    assert [Outcome.INTERRUPTED] == [settled.outcome for settled in rig.telemetry.settled]


async def test_a_learned_hold_is_topped_up_until_there_is_no_room_and_then_ends_the_stream_well() -> None:
    rig = Rig(with_budgets(budget(200 * USD)))
    who = budgeted(budget_mode=BudgetMode.QUANTILE)
    for _ in range(110):  # calls of one token teach the estimate
        upstream = rig.upstream()
        upstream.feed(chunk("a"), chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)
        call = rig.call(BODY % 4_000, who=who)
        with rig.pipeline.open(call) as reply:
            await reply.read()
    rig.ledger.set_budgets([budget(8_000_000 + USD * 200 - (left(rig) or 0))])
    upstream = rig.upstream()
    for _ in range(1_000):
        upstream.chunk("a")
    events: list[Event] = []
    call = rig.call(BODY % 4_000, who=who)
    with rig.pipeline.open(call) as reply:
        events += await reply.read()
        await reply.each(lambda batch: bool(events.extend(batch)) or batch[-1].kind is EventKind.CHUNK)

    tokens = sum(b'"content":"a"' in event.raw for event in events)
    assert 16 < tokens < 800
    assert b'"finish_reason":"length"' in events[-3].raw
    assert [TRUNCATED, END_EVENT] == events[-2:]
    assert upstream.aborted
    assert Outcome.COMPLETED is rig.telemetry.settled[-1].outcome
    assert 0 <= (left(rig) or 0)


async def test_rates_and_permits_are_given_back_by_whatever_ends_a_call() -> None:
    rig = Rig()
    who = replace(principal("*"), rate_limits=(RPM,), concurrency_limits=(ONE,))
    rig.upstream()
    with rig.pipeline.open(rig.call(who=who)) as reply:
        del reply
        second = rig.call(who=who)
        first_running = rig.pipeline.gate.permits.in_use(ONE.id)
        await rig.pipeline.gate.admit(second, deployment(), second.request)
        third = rig.call(who=who)
        with pytest.raises(RouterError) as caught:
            await rig.pipeline.gate.admit(third, deployment(), third.request)
        third.close(Outcome.REFUSED, caught.value.refusal)
        second.close(Outcome.CLIENT_CANCELLED)

    assert 0 == first_running  # nothing is taken before the first read
    assert (Fault.RATE_LIMITED, 1_000) == (caught.value.refusal.fault, caught.value.refusal.retry_after_ms)
    assert 0 == rig.pipeline.gate.permits.in_use(ONE.id)
    assert [2] == [standing.remaining for standing in rig.pipeline.gate.rates.standings((RPM,), rig.clock.monotonic)]


async def test_the_third_request_of_two_a_minute_is_told_when_to_come_back() -> None:
    rig = Rig()
    who = replace(principal("*"), rate_limits=(RPM,))
    calls = [rig.call(who=who) for _ in range(3)]
    for call in calls[:2]:
        await rig.pipeline.gate.admit(call, deployment(), call.request)
    with pytest.raises(RouterError) as caught:
        await rig.pipeline.gate.admit(calls[2], deployment(), calls[2].request)

    assert (Fault.RATE_LIMITED, 30_000) == (caught.value.refusal.fault, caught.value.refusal.retry_after_ms)


async def test_an_observed_key_is_refused_nothing_and_everything_is_on_record() -> None:
    rig = Rig(with_budgets(budget(1)))
    who = budgeted(mode=Mode.OBSERVE, rate_limits=(RPM,))
    for _ in range(3):
        rig.upstream().feed(chunk("a"), chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)
        with rig.pipeline.open(rig.call(BODY % 100, who=who)) as reply:
            await reply.read()

    assert [Outcome.COMPLETED] * 3 == [settled.outcome for settled in rig.telemetry.settled]
    assert [Fault.BUDGET_EXHAUSTED, Fault.BUDGET_EXHAUSTED, Fault.RATE_LIMITED] == [
        settled.would_refuse for settled in rig.telemetry.settled
    ]
    assert 1 - 3 * 30_000 == 1 - sum(settled.spent.usd for settled in rig.telemetry.settled)


WATCHED = "budget/watched/key=ci/usd/day@UTC"


def watched_beside(limit: int) -> tuple[Snapshot, Principal]:
    """An observed budget of next to nothing, and an enforced one."""
    watched = replace(budget(1, name=WATCHED), observe=True)
    who = budgeted()
    return with_budgets(budget(limit), watched), replace(who, accounts=((BudgetId(WATCHED), "ci"), *who.accounts))


async def test_an_observed_budget_lets_a_call_pass_and_says_that_it_would_not_have() -> None:
    setup, who = watched_beside(USD)
    rig = Rig(setup)
    rig.upstream().feed(chunk("a"), chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)
    body = '{"model":"small","messages":[{"role":"user","content":"hi"}],"stream":true}'
    with rig.pipeline.open(rig.call(body, who=who)) as reply:
        await reply.read()
    (settled,) = rig.telemetry.settled

    assert (Outcome.COMPLETED, Fault.BUDGET_EXHAUSTED) == (settled.outcome, settled.would_refuse)
    assert USD - 30_000 == left(rig)
    assert 1 - 30_000 == rig.ledger.standing((BudgetId(WATCHED), "ci"), rig.clock.wall_ns()).room


async def test_an_enforced_budget_refuses_beside_an_observed_one() -> None:
    setup, who = watched_beside(USD // 1_000)
    rig = Rig(setup)
    with pytest.raises(RouterError) as caught, rig.pipeline.open(rig.call(BODY % 1_000, who=who)) as reply:
        await reply.read()

    assert (caught.value.refusal.details or {})["limit"] == BUDGET
    assert (USD // 1_000, 1) == (left(rig), rig.ledger.standing((BudgetId(WATCHED), "ci"), rig.clock.wall_ns()).room)


async def test_a_model_without_a_price_passes_an_observed_budget_and_that_is_on_record() -> None:
    setup = with_budgets(replace(budget(USD), observe=True))
    rig = Rig(setup)
    call = rig.call(BODY % 10, who=budgeted())
    await rig.pipeline.gate.admit(call, replace(deployment(), price=None), call.request)

    assert [Fault.PRICE_UNKNOWN] == call.would_refuse


async def test_a_stream_goes_on_past_an_observed_budget_as_far_as_the_enforced_one_goes() -> None:
    setup, who = watched_beside(USD)
    rig = Rig(setup)
    call = rig.call(BODY % 100, who=who)
    await rig.pipeline.gate.admit(call, deployment(), call.request)
    admission = call.admission
    assert admission is not None

    assert rig.pipeline.gate.extend(admission, call.id, 256)
    assert not rig.pipeline.gate.extend(admission, call.id, 100_000)


async def test_observed_limits_let_calls_pass_and_get_nothing_back_that_they_did_not_take() -> None:
    rig = Rig()
    watched = replace(RPM, id="watched", limit=1, observe=True)
    place = replace(ONE, observe=True)
    who = replace(principal("*"), rate_limits=(RPM, watched), concurrency_limits=(place,))
    calls = [rig.call(who=who) for _ in range(2)]
    gate, standings = rig.pipeline.gate, []
    for call in calls:
        await gate.admit(call, deployment(), call.request)
        standings += call.admission.standings() if call.admission else []

    assert [[], [Fault.RATE_LIMITED]] == [call.would_refuse for call in calls]
    assert [(2, 1), (2, 0)] == [(one.limit_value, one.remaining) for one in standings]
    assert 1 == gate.permits.in_use(place.id)
    calls[1].close(Outcome.REFUSED)  # nothing was sent: it gets back what it took
    assert [1, 0] == [gate.rates.standings([one], rig.clock.monotonic)[0].remaining for one in (RPM, watched)]
    with_room = rig.call(who=who)
    await gate.admit(with_room, deployment(), with_room.request)
    with pytest.raises(RouterError):
        await gate.admit(again := rig.call(who=who), deployment(), again.request)


async def test_a_deployment_with_an_observed_limit_is_never_full() -> None:
    rig = Rig()
    place = replace(ONE, observe=True)
    rig.pipeline.gate.permits.acquire([ONE])

    assert rig.pipeline.gate.is_full(replace(deployment(), concurrency_limits=(ONE,)))
    assert not rig.pipeline.gate.is_full(replace(deployment(), concurrency_limits=(place,)))


async def test_an_observed_stream_is_never_cut() -> None:
    rig = Rig(with_budgets(budget(1)))
    upstream = rig.upstream()
    upstream.feed(*[chunk("a")] * 400)
    upstream.feed(chunk("", finish="stop"), END_EVENT)
    events: list[Event] = []
    with rig.pipeline.open(rig.call(BODY % 64, who=budgeted(mode=Mode.OBSERVE))) as reply:
        events += await reply.read()
        await reply.each(lambda batch: bool(events.extend(batch)) or batch[-1].kind is EventKind.CHUNK)

    assert 401 == sum(event.kind is EventKind.CHUNK for event in events)
    assert END_EVENT == events[-1]


async def test_an_observed_call_is_sent_as_it_came_however_little_is_left() -> None:
    rig = Rig(with_budgets(budget(1)))
    rig.upstream().feed(chunk("a"), chunk("", finish="stop"), END_EVENT)
    body = '{"model":"small","messages":[{"role":"user","content":"hi"}],"stream":true}'
    with rig.pipeline.open(rig.call(body, who=budgeted(mode=Mode.OBSERVE))) as reply:
        await reply.read()

    assert b"max_" not in rig.upstreams.requests[0].body


async def test_a_stream_that_has_finished_needs_no_top_up() -> None:
    rig = Rig(with_budgets(budget(200 * USD)))
    who = budgeted(budget_mode=BudgetMode.QUANTILE)
    for _ in range(110):  # calls of one token teach the estimate
        rig.upstream().feed(chunk("a"), chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)
        with rig.pipeline.open(rig.call(BODY % 4_000, who=who)) as reply:
            await reply.read()
    upstream = rig.upstream()

    def finish() -> None:
        rig.ledger.set_budgets([budget(200 * USD - (left(rig) or 0))])  # all that is left is held
        upstream.feed(chunk("a"), chunk("", finish="stop"), usage_chunk(10, 1), END_EVENT)

    asyncio.get_running_loop().call_soon(finish)
    with rig.pipeline.open(rig.call(BODY % 4_000, who=who)) as reply:
        events = await reply.read()

    assert [chunk("a"), chunk("", finish="stop"), END_EVENT] == events
    assert 10 * 2_000 + 10_000 == rig.telemetry.settled[-1].spent.usd


async def test_nothing_is_held_where_no_account_counts() -> None:
    rig = Rig()
    call = rig.call()
    await rig.pipeline.gate.admit(call, deployment(), call.request)

    assert call.admission is None
    assert Amounts() == Amounts(usd=(await rig.ledger.read_call(call.id)).hold_nano_usd)  # type: ignore[union-attr] # is there
