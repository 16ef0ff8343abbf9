"""Carry one call through the steps and make sure that it ends exactly once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from router.domain.catalog import Snapshot
from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal
from router.domain.governance.budget import NOTHING, Amounts
from router.domain.governance.priority import Classed
from router.domain.ids import CallId
from router.domain.instants import NS_PER_S
from router.domain.planning.plan import RoutePlan
from router.domain.principal import Principal
from router.domain.settlement import Labels, Outcome, Settlement
from router.pipeline.attempt import Attempt
from router.pipeline.upload import Upload

DEADLINE_NS: Final = 600 * NS_PER_S
"""How long a call whose caller names no timeout may be tried; the SDKs of OpenAI give up then."""

if TYPE_CHECKING:
    from router.pipeline.admission import Admission


class Call:
    """One request of one caller. `arrived_ns` is wall time, `arrived` monotonic; it keeps its snapshot to its end."""

    __slots__ = (
        "_settle",
        "admission",
        "arrived",
        "arrived_ns",
        "attempts",
        "id",
        "labels",
        "named_priority",
        "named_user",
        "on_record",
        "outcome",
        "passed_headers",
        "plan",
        "principal",
        "priority",
        "refusal",
        "request",
        "request_id",
        "retries",
        "route",
        "settlement",
        "snapshot",
        "spent",
        "timeout_ns",
        "traceparent",
        "upload",
        "wake",
        "would_refuse",
    )

    def __init__(
        self,
        *,
        id: CallId,  # noqa: A002 - the word for it everywhere else
        request_id: str,
        route: str,
        principal: Principal,
        request: Request,
        labels: Labels,
        named_user: str | None,
        named_priority: str | None,
        snapshot: Snapshot,
        arrived_ns: int,
        arrived: int,
        timeout_ns: int | None,
        retries: int,
        traceparent: str | None,
        passed_headers: tuple[tuple[bytes, bytes], ...],
        upload: Upload | None = None,
        settle: "Callable[[Call], Settlement]",
    ) -> None:
        self.id = id
        self.request_id = request_id
        self.route = route
        self.principal = principal
        self.request = request
        self.labels = labels
        self.named_user = named_user
        self.named_priority = named_priority
        self.snapshot = snapshot
        self.arrived_ns = arrived_ns
        self.arrived = arrived
        self.timeout_ns = timeout_ns
        self.retries = retries
        self.traceparent = traceparent
        self.passed_headers = passed_headers
        """Of the caller's, those that are a part of its request wherever its dialect is spoken."""
        self.upload = upload
        """What follows the beginning of its body, if it is passed on while it comes."""
        self.priority: Classed | None = None
        """Its class, from before it is planned."""
        self.plan: RoutePlan | None = None
        self.attempts: list[Attempt] = []
        self.outcome: Outcome | None = None
        self.refusal: Refusal | None = None
        self.settlement: Settlement | None = None
        self.admission: Admission | None = None
        self.on_record = False
        """The ledger has a row of it."""
        self.spent: Amounts = NOTHING
        """By attempts that have failed: what the next one holds comes beside it."""
        self.wake: Callable[[], None] | None = None
        """Ends a pause between two attempts, or an upload, if one is being made."""
        self.would_refuse: list[Fault] = []
        """What would have refused it, had its key, or what refuses, not only been observed."""
        self._settle = settle

    @property
    def deadline(self) -> int:
        """The monotonic moment after which nothing is begun for it any more."""
        return self.arrived + (DEADLINE_NS if self.timeout_ns is None else self.timeout_ns)

    @property
    def input_bytes(self) -> int:
        """What an estimate of the input goes by, so that it stays within what is held."""
        size = self.request.size
        return size if self.admission is None else min(size, self.admission.input_bytes_max)

    def close(self, outcome: Outcome, refusal: Refusal | None = None) -> None:
        """Record how the call ended and settle it. The first outcome wins; never waits, never fails.

        Closing also leaves the flight, so an upstream that nobody listens to any more stops at once.
        """
        if self.outcome is not None:
            return
        self.outcome = outcome
        self.refusal = refusal
        self.settlement = settlement = self._settle(self)
        now = self.arrived + settlement.duration_ns
        for attempt in self.attempts:
            attempt.leave(now)
        if self.wake is not None:
            self.wake()
