"""The laws of money, as they are checked after every step, after every start and at the end of a run."""

from collections import Counter

from router.domain.dispatch.breaker import BreakerState
from router.domain.governance.budget import Unit
from router.domain.principal import Mode
from router.pipeline.call import Call
from tests.simulation.books import Row, check_balances, open_ids, read_rows
from tests.simulation.life import Life
from tests.simulation.model import Model, law
from tests.simulation.provider import Provider


def while_it_runs(life: Life, model: Model, wall_ns: int) -> None:
    law(not life.provider.broken, f"{life.provider.broken}")
    law(not life.failures, f"the router raised {life.failures}")
    law(not life.ledger.broken, f"{life.ledger.broken}")
    model.check_limits(wall_ns)
    _check_sums(life, model, wall_ns)
    _check_holds(life, model)
    _check_ends(life)
    _check_permits(life)
    _check_targets(life)


def _check_sums(life: Life, model: Model, wall_ns: int) -> None:
    """The router's own sums are those of the model, account by account."""
    accounts = life.ledger.real._accounts
    for account in model.accounts:
        found = accounts.of(*account)
        accounts.state_of(found, wall_ns)
        wanted = model.now(account, wall_ns)
        law(wanted == (found.posted, found.pending), f"{account}: {wanted} wanted, {found.posted, found.pending} found")


def _check_holds(life: Life, model: Model) -> None:
    """What providers have done so far is held, and what the open attempt may yet do, unless it ignores its maximum."""
    for name, call in life.calls.items():
        hold = model.holds.get(call.id)
        received = life.provider.of(name)
        if not received or hold is None or hold.observed or call.outcome is not None or life.provider.overran(name):
            continue
        if not any(model.budgets[budget].unit is Unit.USD for budget, _, _ in hold.places):
            continue
        billed = life.provider.billed(name)
        law(billed <= hold.held.usd, f"{name}: {billed} is billed, {hold.held.usd} held")
        last, sized = received[-1], call.admission.sized if call.admission else None
        if sized is not None and not sized.top_up and last.limited and call.attempts[-1].failure is None:
            before = billed - last.bill(last.seen)
            law(before <= call.spent.usd, f"{name}: {before} was billed before, {call.spent.usd} counted")
            worst = call.spent.usd + last.bill(last.limit if last.live else last.seen)
            law(worst <= hold.held.usd, f"{name}: {worst} may be billed, {hold.held.usd} held")


def _check_ends(life: Life) -> None:
    """What has ended has ended once, for the ledger and for telemetry alike."""
    told = Counter(settlement.id for settlement in life.telemetry.settled)
    for name, call in life.calls.items():
        ended = 0 if call.outcome is None else 1
        law(told[call.id] == ended, f"{name}: {call.outcome}, and telemetry heard {told[call.id]} times")
        law((call.id in life.ledger.settled) == bool(ended), f"{name}: {call.outcome}, settled otherwise")
        if name in life.serving:
            continue
        law(ended, f"{name}: nobody serves it, and it is open")
        law(not any(one.live for one in life.provider.of(name)), f"{name} has ended, and its provider goes on")


def _check_permits(life: Life) -> None:
    """A permit is held by each call that has one and is open, and by nothing else; a pause has none at a deployment."""
    wanted: Counter[str] = Counter()
    for name, call in life.calls.items():
        admission = call.admission
        if call.outcome is not None or admission is None:
            continue
        if admission.of_caller.permit is not None:
            wanted.update(limit.id for limit in call.principal.concurrency_limits)
        there = admission.at_deployment
        law(there is None or call.wake is None, f"{name} pauses, and has places at a deployment")
        if _is_sent(call):
            limits = call.attempts[-1].deployment.concurrency_limits
            observed = call.principal.mode is Mode.OBSERVE
            law(there is not None or not limits, f"{name} is sent, and has no place where it is")
            law(
                not limits or observed or (there and there.permit and there.permit._limits),
                f"{name} is sent without a permit",
            )
        if there is not None and there.permit is not None:
            wanted.update(limit.id for limit in there.permit._limits)
    found = life.pipeline.gate.permits.gauges()
    law(dict(wanted) == found, f"permits: {dict(wanted)} wanted, {found} found")


def _check_targets(life: Life) -> None:
    """Each target whose load matters is as busy as its calls, and no breaker keeps a place of somebody who left."""
    watched = life.pipeline.planner._watched
    targets = [call.attempts[-1].deployment.target for call in life.calls.values() if _is_sent(call)]
    sent = Counter(target for target in targets if target in watched)
    found = {target: load.outstanding for target, load in life.pipeline.planner.loads.items() if load.outstanding}
    law(dict(sent) == found, f"under way: {dict(sent)} wanted, {found} found")
    served = len(life.serving)
    for target, known in life.breakers._targets.items():
        breaker = known.breaker
        trying = breaker._trying
        law(0 <= trying <= breaker._terms.probes, f"{target}: {trying} try at a time")
        law(trying <= served, f"{target}: {trying} try, and {served} calls are served")
        law(not trying or breaker.state is BreakerState.HALF_OPEN, f"{target}: {trying} try, and it is {breaker.state}")
        law(served or not known.credential.trying, f"{target}: its credential is tried, and no call is served")


def _is_sent(call: Call) -> bool:
    return call.outcome is None and bool(call.attempts) and call.attempts[-1].failure is None


def at_the_end(life: Life, model: Model) -> None:
    law(not life.serving, f"still served: {sorted(life.serving)}")
    law(not model.holds, f"still held: {sorted(model.holds)}")
    law(not life.pipeline.gate.permits.gauges(), "a permit leaked")
    law(not open_ids(life.disk.path), "a call is still open in the store")


def after_restart(old: Life, new: Life, model: Model, provider: Provider) -> None:
    """Rows are what was promised before, once each; what was open then is posted as it was held."""
    check_balances(new.disk.path)
    rows = read_rows(new.disk.path)
    law(not open_ids(new.disk.path), "a call of a dead process is open")
    for call_id, settlement in old.ledger.settled.items():
        row = rows.get(call_id)
        if row is None:
            law(not settlement.attempts, f"the row of {settlement.request_id} is lost")
        elif row.outcome == "recovered_held" and call_id in old.unkept:
            _take_back(row, call_id, old, model)
        else:
            wanted = (settlement.request_id, str(settlement.outcome), settlement.cost_nano_usd)
            law(wanted == (row.name, row.outcome, row.cost), f"{wanted} wanted, {row} found")
    for call_id in sorted(model.holds):
        name, hold = old.ledger.names[call_id], model.holds[call_id]
        row = rows.get(call_id)
        law(row is not None, f"{name} was open and is lost")
        assert row is not None
        wanted_row = Row(name, "recovered_held", hold.held.usd or None, hold.held.usd)
        law(wanted_row == row, f"{wanted_row} wanted, {row} found")
        model.end(call_id, hold.held)
    _check_invoice(rows, provider, {old.ledger.names[call_id] for call_id in old.ledger.truncated})


def _take_back(row: Row, call_id: int, old: Life, model: Model) -> None:
    """Post the hold of a call in the place of what it spent: its end was lost with the process, as the docs say."""
    model.repost(call_id, old.ledger.settled[call_id].spent)
    law(row.cost == (row.hold or None), f"{row} is not its hold")


def _check_invoice(rows: dict[int, Row], provider: Provider, refused_more: set[str]) -> None:
    """Every call that reached a provider has its row, which costs no less than what it said.

    `refused_more`: what came in one batch beyond their hold is on record only when their end is, not in the hold.
    """
    provider.beyond_holds |= refused_more
    by_name = {row.name: row for row in rows.values()}
    for name in provider.served:
        law(name in by_name, f"{name} reached its provider and has no row")
        cost, billed = by_name[name].cost, provider.billed(name)
        law(
            cost is None or cost >= billed or provider.overran(name) or name in provider.beyond_holds,
            f"{name}: row {cost}, invoice {billed}",
        )
