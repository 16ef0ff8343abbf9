"""Run the steps of a call in their order. This page is the map of the request path."""

from collections.abc import Callable
from types import TracebackType

import msgspec

from router.domain.catalog import Snapshot
from router.domain.dialects.request import Request
from router.domain.dispatch.breakers import Breakers
from router.domain.faults import Refusal, RouterError
from router.domain.ids import CallId, CallIds
from router.domain.metadata import Metadata
from router.domain.planning.plan import default_model
from router.domain.principal import Principal
from router.domain.settlement import Outcome
from router.domain.stream import Event, ReplyMode
from router.pipeline.admit import Gate
from router.pipeline.attempts import INTERNAL, Attempts, Means, go_on
from router.pipeline.authenticate import authenticate
from router.pipeline.call import Call
from router.pipeline.explain import Explanation, explain
from router.pipeline.lookup import lookup
from router.pipeline.plan import Planner
from router.pipeline.prioritize import prioritize
from router.pipeline.recall import Recall
from router.pipeline.relay import Relay
from router.pipeline.screen import count_for_user, screen
from router.pipeline.settle import Settler
from router.pipeline.upload import Upload
from router.pipeline.upstream_limit_book import UpstreamLimitBook
from router.ports.clock import Clock, Draw
from router.ports.ledger import Ledger
from router.ports.snapshots import Snapshots
from router.ports.telemetry import Telemetry
from router.ports.upstream import Upstreams

__all__ = ["INTERNAL", "OpenCall", "Pipeline"]


class Pipeline:
    """The one path of every call, whichever façade it came through."""

    def __init__(
        self,
        *,
        clock: Clock,
        draw: Draw,
        ledger: Ledger,
        telemetry: Telemetry,
        upstreams: Upstreams,
        snapshots: Snapshots,
        breakers: Breakers,
    ) -> None:
        self.clock = clock
        self.ledger = ledger
        self.telemetry = telemetry
        self._draw = draw
        self._snapshots = snapshots
        self._ids = CallIds(ledger.epoch)
        self.gate = Gate(clock=clock, ledger=ledger, telemetry=telemetry)
        self.upstream_limits = UpstreamLimitBook(clock)
        self.planner = Planner(
            clock=clock, draw=draw, ledger=ledger, gate=self.gate, breakers=breakers, book=self.upstream_limits
        )
        self.means = Means(
            clock=clock, draw=draw, gate=self.gate, planner=self.planner, breakers=breakers, upstreams=upstreams
        )
        self.recall = Recall(clock=clock, history=ledger)
        self._settler = Settler(
            clock=clock,
            ledger=ledger,
            gate=self.gate,
            telemetry=telemetry,
            book=self.upstream_limits,
            recall=self.recall,
        )
        self.open_calls: dict[CallId, Call] = {}
        """The calls being served. Bounded by the connections of the listeners."""

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshots.current

    def request_id(self, metadata: Metadata) -> str:
        """Return the caller's own request id, else a new one."""
        return metadata.request_id or self._draw.token()

    def authenticate(self, metadata: Metadata, *, peer_local: bool) -> Principal:
        """Recognise the caller. Raises `RouterError`."""
        return authenticate(
            metadata.credential,
            snapshot=self._snapshots.current,
            wall_ns=self.clock.wall_ns(),
            local=peer_local and not metadata.forwarded,
            store_unseen_ns=self._snapshots.store_unseen_ns,
        )

    def call(
        self,
        request: Request,
        *,
        principal: Principal,
        metadata: Metadata,
        request_id: str,
        route: str,
        arrived: int,
        passed_headers: tuple[tuple[bytes, bytes], ...] = (),
        upload: Upload | None = None,
    ) -> Call:
        """Make the call of a decoded request. `arrived`: monotonic time at which its head was here.

        Raises `RouterError` where it names no model and none goes without saying.
        """
        wall_ns = self.clock.wall_ns()
        if not request.model:
            request = named_by_default(request, principal, self._snapshots.current)
        return Call(
            id=self._ids.take(wall_ns),
            request_id=request_id,
            route=route,
            principal=principal,
            request=request,
            labels=metadata.labels,
            named_user=metadata.user,
            named_priority=metadata.priority,
            snapshot=self._snapshots.current,
            arrived_ns=wall_ns - (self.clock.monotonic_ns() - arrived),
            arrived=arrived,
            timeout_ns=metadata.timeout_ns,
            retries=metadata.retries,
            traceparent=metadata.traceparent,
            passed_headers=passed_headers,
            upload=upload,
            settle=self._settler,
        )

    def explain(self, call: Call) -> Explanation:
        """Say what would become of a call now; nothing is sent, charged or remembered. Raises `RouterError`."""
        self.prepare(call)
        return explain(call, planner=self.planner, gate=self.gate, ledger=self.ledger, clock=self.clock)

    def prepare(self, call: Call) -> None:
        """Take the steps before the plan. Raises `RouterError`."""
        stopped = screen(call)
        if stopped is not None:
            raise RouterError(stopped)
        if call.named_user is not None:
            count_for_user(call, call.named_user)
        unclassed = prioritize(call, self.ledger, self.clock.wall_ns())
        if unclassed is not None:
            raise RouterError(unclassed)

    def open(self, call: Call, *, ping_ns: int | None = None) -> "OpenCall":
        """Hold `call` open while its reply is read. `ping_ns`: a stream's longest silence before a comment."""
        return OpenCall(self, call, ping_ns if call.request.mode is ReplyMode.STREAM else None)

    def interrupt_all(self, refusal: Refusal) -> None:
        """End every open call now, saying why: the last act of a drain that ran out of patience."""
        for call_id in sorted(self.open_calls):
            self.open_calls[call_id].close(Outcome.INTERRUPTED, refusal)


def named_by_default(request: Request, principal: Principal, snapshot: Snapshot) -> Request:
    """Name the model of a request that names none. Raises `RouterError`."""
    model = default_model(request.grammar.dialect, principal, snapshot)
    if isinstance(model, Refusal):
        raise RouterError(model)
    return msgspec.structs.replace(request, model=model)


class OpenCall:
    """A call being served. Whatever happens inside the `with`, the call is closed when it is left, without waiting."""

    __slots__ = ("_call", "_ping_ns", "_pipeline", "_relay")

    def __init__(self, pipeline: Pipeline, call: Call, ping_ns: int | None) -> None:
        self._pipeline = pipeline
        self._call = call
        self._ping_ns = ping_ns
        self._relay: Relay | None = None

    def __enter__(self) -> "OpenCall":
        self._pipeline.open_calls[self._call.id] = self._call
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        del self._pipeline.open_calls[self._call.id]
        if self._relay is not None:
            self._relay.close()
        if self._call.outcome is not None:  # it was read to its end, as most are
            return
        if isinstance(exc, RouterError):
            self._call.close(Outcome.FAILED if self._call.attempts else Outcome.REFUSED, exc.refusal)
        elif isinstance(exc, Exception):
            self._call.close(Outcome.FAILED, INTERNAL)
        else:  # cancelled, or left before the end was read: nobody is there to read it
            self._call.close(Outcome.CLIENT_CANCELLED)

    async def read(self) -> list[Event]:
        """Return the next batch of events; the last ends with COMPLETE, END or ERROR (see `Call.refusal`).

        The first read runs the steps up to a reply that is known to be real. Raises `RouterError` when there
        will be none.
        """
        if self._relay is None:
            # Kept before it is started: from here on its timer is ours to stop, also when it never starts.
            self._relay = await self._begin()
            await self._relay.start()
        return await self._relay.read()

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        """Do `while take(await self.read()): pass`, but call `take` as the events arrive, without waking a task.

        `take` says False when it wants no more now, and after the last batch. At least one `read` comes before.
        """
        assert self._relay is not None, "the first batch is read"
        await self._relay.each(take)

    @property
    def upstream_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The provider's headers; of the attempt that served."""
        flight = self._call.attempts[-1].flight if self._call.attempts else None
        return () if flight is None else tuple(flight.headers)

    async def _begin(self) -> Relay:
        pipeline, call = self._pipeline, self._call
        pipeline.prepare(call)
        basis = None
        if call.request.grammar.stored:
            basis = await pipeline.recall.basis_of(call)
            go_on(call)
        plan = pipeline.planner.plan(call, basis)
        if isinstance(plan, Refusal):
            raise RouterError(plan)
        call.plan = plan
        lookup(call)
        attempts = Attempts(call, pipeline.planner.dispatch_of(call, plan), pipeline.means)
        first = await attempts.first()
        return Relay(
            call,
            attempts,
            first,
            clock=pipeline.clock,
            book=pipeline.upstream_limits,
            ping_ns=self._ping_ns,
        )
