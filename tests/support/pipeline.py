"""A pipeline over fakes, and a call through it, for unit tests of the steps."""

from router.adapters.ledger_memory import MemoryLedger
from router.domain.catalog import Snapshot
from router.domain.dialects.dialect import CHAT, Grammar
from router.domain.dialects.request import Request, read_request
from router.domain.governance.budget import Crossed, Exhausted
from router.domain.ids import Epoch
from router.domain.metadata import Metadata
from router.domain.principal import Principal
from router.domain.settlement import Labels, Reservation
from router.pipeline.call import Call
from router.pipeline.open import Pipeline
from router.ports.ledger import LedgerUnavailable
from tests.support import fakes


class BreakableLedger(MemoryLedger):
    """Refuses reservations while `broken`."""

    broken = False

    async def reserve(self, reservation: Reservation, wall_ns: int) -> tuple[Crossed, ...] | Exhausted:
        if self.broken:
            raise LedgerUnavailable("broken by the test")
        return await super().reserve(reservation, wall_ns)


class Rig:
    """Everything that a test of the pipeline wants to hold."""

    def __init__(self, snapshot: Snapshot | None = None, *, ledger: BreakableLedger | None = None) -> None:
        self.clock = fakes.FakeClock()
        self.ledger = ledger or BreakableLedger(epoch=Epoch(1))
        self.telemetry = fakes.RecordingTelemetry()
        self.upstreams = fakes.FedUpstreams()
        self.snapshots = fakes.FixedSnapshots(snapshot or fakes.snapshot())
        self.ledger.set_budgets(self.snapshots.current.budgets.values())
        self.pipeline = Pipeline(
            clock=self.clock,
            draw=fakes.FakeDraw(),
            ledger=self.ledger,
            telemetry=self.telemetry,
            upstreams=self.upstreams,
            snapshots=self.snapshots,
            breakers=fakes.breakers(),
        )

    def upstream(self) -> fakes.FedStream:
        """Queue a stream for the next dispatch and return it."""
        stream = fakes.FedStream()
        self.upstreams.replies.append(stream)
        return stream

    def call(
        self,
        body: str = '{"model":"small","messages":[],"stream":true}',
        *,
        who: Principal | None = None,
        grammar: Grammar = CHAT,
    ) -> Call:
        request = read_request(grammar, body.encode())
        assert isinstance(request, Request), request
        return self.pipeline.call(
            request,
            principal=who or fakes.principal("*"),
            metadata=Metadata(labels=Labels(agent="a1")),
            request_id="r1",
            route="chat",
            arrived=self.clock.monotonic_ns(),
        )
