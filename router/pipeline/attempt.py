"""Keep the facts of one dispatch to one deployment until its row is written."""

from typing import Final

import msgspec

from router.domain.catalog import Deployment
from router.domain.dialects.translation import ReplyTranslator
from router.domain.dispatch.breakers import Passage
from router.domain.dispatch.failure import Failure, FailureKind, Verdict, fault_of, verdict_of
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.money import NanoUsd
from router.domain.planning.adaptive import Felt
from router.domain.planning.load import Started
from router.domain.pricing import PriceCard, bill
from router.domain.settlement import AttemptRow
from router.domain.units import Units
from router.domain.usage import NO_USAGE, TokenUsage, estimate_usage
from router.pipeline.flight import Flight
from router.pipeline.upload import Upload

_UNBILLED: Final = frozenset(
    {FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.STATUS, FailureKind.ERROR_EVENT}
)
"""Failures after which the provider has nothing to charge, as long as no token was seen."""

PATIENCE_NS: Final = 10 * NS_PER_S
"""A provider that says nothing for so long fails, also where it was the caller who gave it no longer."""
_TOO_MANY: Final = frozenset({429, 529})
_OUT_OF_TIME: Final = frozenset({FailureKind.TOTAL_TIMEOUT, FailureKind.CONNECT_TIMEOUT})


class Attempt:
    """One attempt, from the moment before it is dispatched. Times: `started_ns` wall, the others monotonic."""

    __slots__ = (
        "_asked",
        "_card",
        "_ended",
        "_felt",
        "_hurried",
        "_load",
        "_passage",
        "_row",
        "begun",
        "deployment",
        "dropped",
        "failure",
        "first_token",
        "flight",
        "number",
        "started_ns",
        "translator",
        "upload",
    )

    def __init__(
        self,
        number: int,
        deployment: Deployment,
        *,
        passage: Passage,
        load: Started | None,
        card: PriceCard | None,
        started_ns: int,
        begun: int,
        hurried: bool = False,
        felt: Felt | None = None,
    ) -> None:
        """`card`: what it costs, which is assumed where the deployment has no price of its own.

        `load`: None where nobody chooses by it. `hurried`: the caller has named a time of its own. `felt`: what an
        adaptive limit learns from the attempt.
        """
        self._hurried = hurried
        self._felt = felt
        self.number = number
        self.deployment = deployment
        self._passage = passage
        self._load = load
        self._card = card
        self.started_ns = started_ns
        self.begun = begun
        self._asked = begun
        self._ended: int | None = None
        self._row: AttemptRow | None = None
        self.first_token: int | None = None
        """When the reply became real."""
        self.failure: Failure | None = None
        self.flight: Flight | None = None
        self.translator: ReplyTranslator | None = None
        """Turns the reply into the caller's dialect; None: it is in it."""
        self.dropped: tuple[str, ...] = ()
        """Members of the request that the deployment's dialect cannot say, left out as the caller asked."""
        self.upload: Upload | None = None
        """What follows the beginning of the body, if that is passed on while it comes."""

    def uploads(self, upload: Upload, now: int) -> None:
        self.upload = upload
        if self._load is not None:
            self._load.arriving(now)

    def uploaded(self, now: int) -> None:
        """Record that only now its provider has all of the request: what came before was its caller's time."""
        self._asked = now
        if self._load is not None:
            self._load.asked(now)
        if self._felt is not None:
            self._felt.asked(now)

    def began(self, now: int) -> None:
        """Record that the reply became real, which says that the deployment is well. The first time counts."""
        if self.first_token is None:
            self.first_token = now
            self._passage.began(now, now - self._asked)
            if self._load is not None:
                self._load.began(now)
            if self._felt is not None:
                self._felt.began(now)

    def fail(self, failure: Failure, now: int, *, again: bool = False) -> Verdict:
        """Record why the attempt failed. The first failure is the cause, later ones are its echo.

        `again`: the call has failed at this deployment before, with another credential.
        """
        verdict = verdict_of(failure)
        if verdict.counts and self._is_hurry(failure, now):
            verdict = msgspec.structs.replace(verdict, counts=False)
        if self.failure is None:
            self.failure = failure
            self._ended = now
            after = failure.retry_after_ms
            self._passage.failed(
                verdict,
                now=now,
                took_ns=now - self._asked,
                retry_after_ns=None if after is None else after * NS_PER_MS,
                again=again,
            )
            if self._load is not None:
                self._load.ended(now, failed=verdict.counts)
            if self._felt is not None and failure.status in _TOO_MANY:
                self._felt.refused(now)
        return verdict

    @property
    def _is_undelivered(self) -> bool:
        return self.upload is not None and not self.upload.whole

    def _is_hurry(self, failure: Failure, now: int) -> bool:
        """Tell whether only the caller's own time was up, which says nothing about the provider."""
        if self._is_undelivered and failure.kind is FailureKind.TOTAL_TIMEOUT:
            return True  # who takes nothing fails sooner: it was the caller who was slow
        if not (self._hurried or self.upload is not None) or failure.kind not in _OUT_OF_TIME:
            return False
        return self.first_token is not None or now - self._asked < PATIENCE_NS

    def leave(self, now: int) -> None:
        """Let go of all that the attempt holds, however it ended. Any number of times."""
        if self._ended is None:
            self._ended = now
        self._passage.left()
        if self._load is not None:
            self._load.ended(now)
        if self.flight is not None:
            self.flight.leave()

    def row(self, now: int, input_bytes: int) -> AttemptRow:
        """Price the attempt as it stands and write its row, which stays the same once it has ended.

        `input_bytes` is for estimates only.
        """
        if self._row is not None:
            return self._row
        card = self._card
        usage = self._usage(input_bytes)
        duration_ns = (now if self._ended is None else self._ended) - self.begun
        row = AttemptRow(
            number=self.number,
            deployment=self.deployment.id,
            provider=self.deployment.provider,
            upstream_model=self.deployment.upstream_model,
            started_ns=self.started_ns,
            duration_ns=duration_ns,
            first_token_ns=None if self.first_token is None else self.first_token - self.begun,
            fault=None if self.failure is None else fault_of(self.failure),
            upstream_status=None if self.failure is None else self.failure.status,
            usage=usage,
            cost_nano_usd=_cost(card, usage, duration_ns, None if self.flight is None else self.flight.meter.units),
            price_version=None if card is None else card.version,
        )
        if self._ended is not None:
            self._row = row
        return row

    def _usage(self, input_bytes: int) -> TokenUsage:
        meter = None if self.flight is None else self.flight.meter
        seen = meter is not None and (meter.usage is not None or meter.counted_tokens > 0)
        unbilled = self.failure is not None and self.failure.kind in _UNBILLED
        if not seen and (unbilled or (self._is_undelivered and self.first_token is None)):
            return NO_USAGE
        if meter is None:
            return estimate_usage(input_bytes=input_bytes, output_tokens=0)
        return meter.measured(input_bytes)


def _cost(card: PriceCard | None, usage: TokenUsage, duration_ns: int, units: Units | None) -> NanoUsd | None:
    """Price what was used; nothing used costs nothing, also where a request has a price of its own."""
    if card is None or (units is not None and not card.covers(units)):
        return None
    return NanoUsd(0) if usage is NO_USAGE else bill(usage, card, duration_ns, units)
