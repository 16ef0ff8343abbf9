"""The laws of money, as they are checked after every step, after every start and at the end of a run."""

from collections import Counter

from router.domain.governance.budget import Unit
from tests.simulation.books import Row, check_balances, open_ids, read_rows
from tests.simulation.life import Life
from tests.simulation.model import Model, law
from tests.simulation.provider import Provider


def while_it_runs(life: Life, model: Model, wall_ns: int) -> None:
    law(not life.failures, f"the router raised {life.failures}")
    law(not life.ledger.broken, f"{life.ledger.broken}")
    model.check_limits(wall_ns)
    _check_sums(life, model, wall_ns)
    _check_holds(life, model)
    _check_ends(life)
    _check_permits(life)


def _check_sums(life: Life, model: Model, wall_ns: int) -> None:
    """The router's own sums are those of the model, account by account."""
    accounts = life.ledger.real._accounts
    for account in model.accounts:
        found = accounts.of(*account)
        accounts.state_of(found, wall_ns)
        wanted = model.now(account, wall_ns)
        law(wanted == (found.posted, found.pending), f"{account}: {wanted} wanted, {found.posted, found.pending} found")


def _check_holds(life: Life, model: Model) -> None:
    """What a provider has done so far is held, unless it ignores its maximum."""
    for name, call in life.calls.items():
        served, hold = life.provider.served.get(name), model.holds.get(call.id)
        if served is None or hold is None or hold.observed or call.outcome is not None or served.overran:
            continue
        billed = served.bill(served.seen)
        counted = any(model.budgets[budget].unit is Unit.USD for budget, _, _ in hold.places)
        law(billed <= hold.held.usd or not counted, f"{name}: {billed} is billed, {hold.held.usd} held")


def _check_ends(life: Life) -> None:
    """What has ended has ended once, for the ledger and for telemetry alike."""
    told = Counter(settlement.id for settlement in life.telemetry.settled)
    for name, call in life.calls.items():
        ended = 0 if call.outcome is None else 1
        law(told[call.id] == ended, f"{name}: {call.outcome}, and telemetry heard {told[call.id]} times")
        law((call.id in life.ledger.settled) == bool(ended), f"{name}: {call.outcome}, settled otherwise")
        law(ended or name in life.serving, f"{name}: nobody serves it, and it is open")


def _check_permits(life: Life) -> None:
    """A permit is held by each call that has one and is open, and by nothing else."""
    wanted: Counter[str] = Counter()
    for call in life.calls.values():
        if call.outcome is None and call.admission is not None and call.admission.of_caller.permit is not None:
            wanted.update(limit.id for limit in call.principal.concurrency_limits)
    found = life.pipeline.gate.permits.gauges()
    law(dict(wanted) == found, f"permits: {dict(wanted)} wanted, {found} found")


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
    for name, served in provider.served.items():
        law(name in by_name, f"{name} reached its provider and has no row")
        cost = by_name[name].cost
        billed = served.bill(served.seen)
        law(
            cost is None or cost >= billed or served.overran or name in provider.beyond_holds,
            f"{name}: row {cost}, invoice {billed}",
        )
