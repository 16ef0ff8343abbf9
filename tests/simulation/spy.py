"""Stand between the router and its ledger, and hold every answer against the naive model."""

from collections.abc import Iterable, Sequence

from router.adapters.ledger_sqlite import SqliteLedger
from router.domain.governance.account import AccountKey
from router.domain.governance.budget import NOTHING, Amounts, Budget, Crossed, Exhausted, Stale, Standing, State
from router.domain.governance.sizing import Room
from router.domain.ids import CallId, Epoch
from router.domain.settlement import Reservation, Settlement
from router.ports.ledger import CallRecord, LedgerUnavailable
from tests.simulation.model import Model, law, start_of
from tests.simulation.provider import Provider
from tests.simulation.scenario import Asked


class SpiedLedger:
    """A `Ledger` that checks another. `broken` keeps the first law that did not hold: the router may swallow errors."""

    def __init__(self, ledger: SqliteLedger, model: Model, asked: dict[str, Asked], provider: Provider) -> None:
        self.real = ledger
        self._model = model
        self._asked = asked
        self._provider = provider
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
        name, cost = settlement.request_id, settlement.cost_nano_usd
        served = self._provider.served.get(name)
        if served is None:
            self._law(cost == 0, f"{name} costs {cost}, and no provider received it")
            return
        billed = served.bill(served.seen)
        assert cost is not None
        self._law(cost >= billed, f"{name} costs {cost}, its provider bills {billed} for what was read")
        if served.told:
            self._law(cost == billed, f"{name} costs {cost}, its provider said that it bills {billed}")
        elif cost:
            most = served.estimate(served.seen, len(self._asked[name].body))
            self._law(cost <= most, f"{name} costs {cost}, and {most} is the estimate for what was read")

    def _within_hold(self, settlement: Settlement) -> None:
        hold = self._model.holds[settlement.id]
        served = self._provider.served.get(settlement.request_id)
        if served is None or served.overran or settlement.id in self.truncated or hold.observed:
            return
        for budget, _, _ in hold.places:
            spent, held = self._model.amount(budget, settlement.spent), self._model.amount(budget, hold.held)
            self._law(
                spent <= held,
                f"{settlement.request_id} kept to its maximum, and {budget} gets {spent} where {held} was held",
            )

    def room(self, path: Sequence[AccountKey], wall_ns: int) -> Room:
        return self.real.room(path, wall_ns)

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
