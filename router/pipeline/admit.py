"""Let an attempt start: put its open row on record, so that no dispatch can be forgotten by a crash."""

from router.domain.faults import Fault, Refusal, RouterError
from router.domain.settlement import Reservation
from router.pipeline.call import Call
from router.ports.ledger import Ledger, LedgerUnavailable

_RETRY_AFTER_MS = 1_000


async def admit(call: Call, ledger: Ledger) -> None:
    """Return when the call is on record. Raises `RouterError` when the store cannot record it."""
    reservation = Reservation(
        id=call.id,
        request_id=call.request_id,
        key_id=call.principal.key_id,
        asked_model=call.request.model,
        started_ns=call.arrived_ns,
        labels=call.labels,
    )
    try:
        await ledger.reserve(reservation)
    except LedgerUnavailable as exc:
        refusal = Refusal(
            fault=Fault.OVERLOADED,
            message="The router cannot record this call now, so it is not sent. Try again shortly.",
            retry_after_ms=_RETRY_AFTER_MS,
        )
        raise RouterError(refusal) from exc
