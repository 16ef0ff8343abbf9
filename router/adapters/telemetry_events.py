"""Make events of what telemetry is told, with the facts of the budget that was crossed."""

from collections.abc import Callable

from router.domain.dispatch.breakers import Transition
from router.domain.events import budget_threshold
from router.domain.faults import Fault
from router.domain.governance.budget import Crossed
from router.domain.governance.windows import Window
from router.domain.settlement import Settlement
from router.domain.webhook import DeliveryOutcome
from router.ports.clock import Clock, Draw
from router.ports.events import Events
from router.ports.ledger import Ledger
from router.ports.snapshots import Snapshots
from router.ports.telemetry import Anomaly


class EventTelemetry:
    """A `Telemetry` that hears only of crossings."""

    def __init__(
        self,
        *,
        events: Events,
        ledger: Ledger,
        snapshots: Snapshots,
        clock: Clock,
        draw: Draw,
        window_name: Callable[[Window], str],
    ) -> None:
        self._events = events
        self._ledger = ledger
        self._snapshots = snapshots
        self._clock, self._draw = clock, draw
        self._window_name = window_name

    def call_settled(self, settlement: Settlement) -> None:
        pass

    def request_rejected(self, fault: Fault) -> None:
        pass

    def budget_crossed(self, crossed: Crossed) -> None:
        budget = self._snapshots.current.budgets.get(crossed.budget)
        if budget is None:
            return  # a reload took it away while a call was open: the log and the metrics still have it
        wall_ns = self._clock.wall_ns()
        standing = self._ledger.standing((budget.id, crossed.value), wall_ns)
        self._events.emit(
            budget_threshold(
                crossed,
                token=self._draw.token(),
                wall_ns=wall_ns,
                budget=budget,
                standing=standing,
                window=self._window_name(budget.window),
            )
        )

    def breaker_changed(self, transition: Transition) -> None:
        pass

    def webhook_tried(self, outcome: DeliveryOutcome) -> None:
        pass

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None:
        pass
