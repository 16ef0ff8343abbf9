"""Stand between the router and its ledger, and hold every answer against the naive model."""

from collections.abc import Iterable, Mapping, Sequence

from router.adapters.ledger_sqlite import SqliteLedger
from router.domain.governance.account import AccountKey
from router.domain.governance.budget import NOTHING, Amounts, Budget, Crossed, Exhausted, Stale, Standing, State
from router.domain.governance.sizing import Room
from router.domain.ids import CallId, Epoch
from router.domain.settlement import AttemptRow, Reservation, Settlement
from router.pipeline.call import Call
from router.ports.ledger import CallRecord, LedgerUnavailable
from tests.simulation.model import Model, law, start_of
from tests.simulation.provider import Provider, Served
from tests.simulation.scenario import Asked


class SpiedLedger:
    """A `Ledger` that checks another. `broken` keeps the first law that did not hold: the router may swallow errors."""

    def __init__(
        self,
        ledger: SqliteLedger,
        model: Model,
        asked: dict[str, Asked],
        provider: Provider,
        calls: Mapping[str, Call],
    ) -> None:
        self.real = ledger
        self._model = model
        self._asked = asked
        self._provider = provider
        self._calls = calls
        self.names: dict[int, str] = {}
        self.settled: dict[int, Settlement] = {}
        self.truncated: set[int] = set()
        """Calls that were refused more: their stream ends with the batch that is here."""
        self.dead = False
        self.broken: list[str] = []

    @property
    def epoch(self) -> Epoch:
        return self.real.epoch

    async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
        model, call_id = self._model, reservation.id
        asked = self._asked[reservation.request_id]
        places = [(*account, start_of(model.budgets[account[0]], wall_ns)) for account in asked.accounts]
        fits = model.fits(places, reservation.amounts, wall_ns)
        if fits or reservation.observed:
            model.hold(call_id, places, reservation.amounts, observed=reservation.observed)
        self.names[call_id] = asked.name
        try:
            answer = await self.real.reserve(reservation, wall_ns)
        except LedgerUnavailable:
            if self.real._accounts.find(call_id) is not State.PENDING and not self.dead:
                model.holds.pop(call_id, None)
            raise
        refused = isinstance(answer, Exhausted)
        self._law(refused is not fits, f"{asked.name}: the ledger said {answer}, the model {fits=}")
        return answer

    def extend(self, call_id: CallId, amounts: Amounts, wall_ns: int) -> tuple[Crossed, ...] | Exhausted | Stale:
        if self.dead:
            return self.real.extend(call_id, amounts, wall_ns)
        fits = self._model.fits(self._model.holds[call_id].places, amounts, wall_ns)
        attempts = self._calls[self.names[call_id]].attempts
        grows = bool(attempts) and attempts[-1].failure is None
        """It is for a stream that goes on, not for another attempt."""
        if grows:
            self.truncated.add(call_id)
        answer = self.real.extend(call_id, amounts, wall_ns)
        self._law(isinstance(answer, tuple) is fits, f"{self.names[call_id]}: the ledger extended {answer}, {fits=}")
        if isinstance(answer, tuple):
            self.truncated.discard(call_id)
            self._model.extend(call_id, amounts)
        return answer

    def settle(self, settlement: Settlement) -> tuple[Crossed, ...]:
        answer = self.real.settle(settlement)
        if self.dead:
            return answer
        call_id, name = settlement.id, settlement.request_id
        self._law(call_id not in self.settled, f"{name} was settled twice")
        self.names[call_id] = name
        self.settled[call_id] = settlement
        self._against_invoice(settlement)
        if call_id in self._model.holds:
            self._within_hold(settlement)
            self._model.end(call_id, settlement.spent)
        else:
            self._law(settlement.spent == NOTHING, f"{name} spent without a hold")
        return answer

    def _against_invoice(self, settlement: Settlement) -> None:
        """Every attempt has its row, which says what its provider said that it bills, or a fair estimate of it."""
        name, cost, rows = settlement.request_id, settlement.cost_nano_usd, settlement.attempts
        received = self._provider.of(name)
        self._law(len(rows) == len(received), f"{name} has {len(rows)} rows, and was received {len(received)} times")
        self._law(cost == sum([row.cost_nano_usd or 0 for row in rows]), f"{name} costs {cost}, its rows say {rows}")
        for row, served in zip(rows, received, strict=True):
            where = f"{name} at {served.deployment.target}, attempt {row.number}"
            self._law(row.deployment == served.deployment.id, f"{where} is of {row.deployment} in its row")
            self._row_against_invoice(where, row, served, len(self._asked[name].body))

    def _row_against_invoice(self, where: str, row: AttemptRow, served: Served, body_bytes: int) -> None:
        cost, billed = row.cost_nano_usd, served.bill(served.seen)
        assert cost is not None
        self._law(cost >= billed, f"{where} costs {cost}, its provider bills {billed} for what was read")
        if served.told:
            self._law(cost == billed, f"{where} costs {cost}, its provider said that it bills {billed}")
        elif served.refused and not served.seen and row.fault is not None:
            self._law(cost == 0, f"{where} costs {cost}, and the router heard that it is refused")
        elif cost:
            most = served.estimate(served.seen, body_bytes)
            self._law(cost <= most, f"{where} costs {cost}, and {most} is the estimate for what was read")

    def _within_hold(self, settlement: Settlement) -> None:
        hold, name = self._model.holds[settlement.id], settlement.request_id
        if not settlement.attempts or self._provider.overran(name) or settlement.id in self.truncated or hold.observed:
            return
        for budget, _, _ in hold.places:
            spent, held = self._model.amount(budget, settlement.spent), self._model.amount(budget, hold.held)
            self._law(spent <= held, f"{name} kept to its maximum, and {budget} gets {spent} where {held} was held")

    def room(self, path: Sequence[AccountKey], wall_ns: int, *, observed: bool = False) -> Room:
        return self.real.room(path, wall_ns, observed=observed)

    def standing(self, key: AccountKey, wall_ns: int) -> Standing:
        return self.real.standing(key, wall_ns)

    def set_budgets(self, budgets: Iterable[Budget]) -> None:
        self.real.set_budgets(budgets)

    async def read_call(self, call_id: CallId) -> CallRecord | None:
        return await self.real.read_call(call_id)

    async def close(self) -> None:
        await self.real.close()

    def _law(self, holds: object, text: str) -> None:
        if not self.dead and not holds:
            self.broken.append(text)
            law(holds, text)
