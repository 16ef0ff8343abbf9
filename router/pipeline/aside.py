"""Ask providers beside inference for a key: within its limits, outside its budgets, without a row in the ledger.

Nothing is generated, so nothing is paid for and no account is touched. A row each would let a caller that polls fill
the ledger with calls that cost nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import refusal_of
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.governance.permits import Permit, Saturated
from router.domain.governance.rate import CostTooLarge, RateLimited, costs_of
from router.domain.governance.refusals import refuse_limited, refuse_saturated, refuse_too_large
from router.domain.instants import NS_PER_S
from router.domain.principal import Mode, Principal
from router.pipeline.admit import Gate
from router.pipeline.open import Pipeline
from router.ports.aside import AsideRequest, Asides, Method
from router.ports.clock import Clock
from router.ports.upstream import UpstreamFailed

ASIDE_NS_MAX: Final = 30 * NS_PER_S
"""For one question and its answer."""

_COSTS: Final = costs_of(requests=1, input_tokens=0, output_tokens=0)
_NO_REPLY: Final = "No reply of this key has this id, or it is older than 30 days. Take it from the reply's `id`."
_GONE: Final = "The provider that stores this reply is not configured here any more. Ask the operator of the router."


class StoredDesk:
    """What callers may do with the replies that providers store for them."""

    def __init__(self, *, pipeline: Pipeline, asides: Asides) -> None:
        self._pipeline = pipeline
        self._asides = asides

    async def ask(
        self,
        principal: Principal,
        reply_id: str,
        *below: str,
        method: Method,
        query: tuple[tuple[str, str], ...] = (),
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> bytes:
        """Ask the holder of a reply of this key, and return its answer as it came. Raises `RouterError`."""
        pipeline = self._pipeline
        with admitted(pipeline.gate, pipeline.clock, principal):
            reply = await pipeline.recall.find(reply_id, principal.key_id)
            if reply is None:
                raise refuse(Fault.NOT_FOUND, _NO_REPLY)
            provider, aside = pipeline.snapshot.providers.get(reply.provider), self._asides.find_aside(reply.provider)
            names = () if provider is None else [credential.name for credential in provider.credentials]
            if aside is None or reply.credential not in names:
                raise refuse(Fault.NOT_FOUND, _GONE)
            request = AsideRequest(
                credential=reply.credential,
                dialect=Dialect.RESPONSES,
                below=(reply_id, *below),
                method=method,
                query=query,
                headers=headers,
                total_ns=ASIDE_NS_MAX,
            )
            try:
                return await aside.ask(request)
            except UpstreamFailed as exc:
                raise RouterError(refusal_of(exc.failure)) from exc


@contextmanager
def admitted(gate: Gate, clock: Clock, principal: Principal) -> Iterator[None]:
    """Count one request under the key's limits while the block runs. Raises `RouterError`."""
    permit = gate.permits.acquire(principal.concurrency_limits)
    if isinstance(permit, Saturated):
        _refuse(principal, refuse_saturated(permit))
    try:
        match gate.rates.charge(principal.rate_limits, _COSTS, clock.monotonic_ns()):
            case RateLimited(observed=False) as limited:
                _refuse(principal, refuse_limited(limited, clock.wall_ns()))
            case CostTooLarge(observed=False) as too_large:
                _refuse(principal, refuse_too_large(too_large))
            case _:  # it passes, or only what is observed would refuse it
                pass
        yield
    finally:
        if isinstance(permit, Permit):
            permit.release()


def _refuse(principal: Principal, refusal: Refusal) -> None:
    if principal.mode is not Mode.OBSERVE:
        raise RouterError(refusal)
