"""Turn reservations and settlements into rows of the ledger, and rows back into records."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from router.adapters.sql import sqlite_statements as sql
from router.domain.faults import Fault
from router.domain.governance.account import Booking, Bucket
from router.domain.governance.budget import NOTHING, Amounts
from router.domain.ids import CallId, DeploymentId, Epoch, ProviderId
from router.domain.money import NanoUsd
from router.domain.settlement import AttemptRow, Outcome, Reservation, Settlement, StoredRecord, StoredReply
from router.domain.stream import ReplyMode
from router.domain.usage import TokenUsage
from router.ports.ledger import CallRecord
from router.ports.ledger_pages import AttemptPlace, AttemptRecord, CallFilter
from router.ports.observed import ObservedGroup, ObservedTotal

Row = tuple[int | str | None, ...]

BOOKED_TEXTS_MAX: Final = 4_096
INTEGER_MAX: Final = (1 << 63) - 1
_INTEGER_BITS: Final = 63


class StoredAttempt(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An attempt as an element of the JSON column; the view `attempts` counts on this order. Append only."""

    number: int
    deployment: str
    provider: str
    upstream_model: str
    started_ns: int
    duration_ns: int
    first_token_ns: int | None
    fault: Fault | None
    upstream_status: int | None
    input: int
    cached_input: int
    cache_write: int
    output: int
    reasoning: int
    estimated: bool
    clamped: bool
    cost_nano_usd: int | None
    price_version: str | None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(list[StoredAttempt])
_bookings: Final = msgspec.json.Decoder(list[Booking])
_amounts: Final = msgspec.json.Decoder(Amounts)
_stored_reply: Final = msgspec.json.Decoder(StoredReply)


def open_row(reservation: Reservation, epoch: Epoch, booked: str | None) -> Row:
    """Raises OverflowError for what no SQL integer holds: the call is accepted before the store is asked."""
    usd, tokens, requests, seconds = reservation.amounts
    if (reservation.id | reservation.started_ns | usd | tokens | requests | seconds) >> _INTEGER_BITS:
        raise OverflowError("an integer of this reservation has more than 63 bits, or is negative")
    labels = reservation.labels
    return (
        reservation.id,
        epoch,
        reservation.request_id,
        reservation.key_id,
        labels.workflow_id,
        labels.parent_call_id,
        labels.agent,
        labels.tags,
        reservation.asked_model,
        reservation.started_ns,
        usd,
        booked,
        None if booked is None else text_of(reservation.amounts),
    )


def extended_row(call_id: CallId, held: Amounts) -> Row:
    """Raises OverflowError as `open_row` does."""
    if max(held) > INTEGER_MAX:
        raise OverflowError("this hold has more than 63 bits")
    return call_id, held.usd, text_of(held)


def text_of(values: Sequence[object]) -> str:
    """Write a column of JSON."""
    return _encoder.encode(values).decode()


class BookedTexts:
    """The column `booked` of paths that were written lately: most calls share theirs with the calls before."""

    __slots__ = ("_texts",)

    def __init__(self) -> None:
        self._texts: dict[tuple[Bucket, ...], str] = {}

    def of(self, buckets: tuple[Bucket, ...]) -> str | None:
        """Raises UnicodeEncodeError for a value that no store could hold."""
        if not buckets:
            return None
        text = self._texts.get(buckets)
        if text is None:
            if len(self._texts) >= BOOKED_TEXTS_MAX:
                self._texts.clear()
            text = self._texts[buckets] = text_of([bucket.booking for bucket in buckets])
        return text


def read_booking(text: str | None) -> list[Booking]:
    return [] if text is None else _bookings.decode(text)


def read_amounts(text: str | None) -> Amounts:
    return NOTHING if text is None else _amounts.decode(text)


def settled_row(settlement: Settlement, epoch: Epoch, hold_nano_usd: int, booked: str | None) -> Row:
    """Raises OverflowError for money that no SQL integer holds, since it is posted before the store is asked."""
    labels = settlement.labels
    usage = settlement.usage
    fault = settlement.fault
    if booked is not None and max(settlement.spent) > INTEGER_MAX:
        raise OverflowError("an amount of this settlement has more than 63 bits")
    return (
        settlement.id,
        epoch,
        settlement.request_id,
        settlement.key_id,
        settlement.organization,
        settlement.team,
        settlement.user,
        labels.workflow_id,
        labels.parent_call_id,
        labels.agent,
        labels.tags,
        settlement.route,
        # sqlite3 binds plain integers and strings quickly, their subclasses (bool, StrEnum) slowly.
        (1 if settlement.mode is ReplyMode.STREAM else 0),
        settlement.asked_model,
        settlement.served_deployment,
        settlement.served_model,
        settlement.started_ns,
        settlement.duration_ns,
        settlement.first_token_ns,
        str(settlement.outcome),
        (None if fault is None else str(fault)),
        usage.input,
        usage.cached_input,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        (1 if usage.estimated else 0),
        settlement.cost_nano_usd,
        settlement.price_version,
        _encoder.encode(list(map(_stored, settlement.attempts))).decode() if settlement.attempts else None,
        (None if settlement.would_refuse is None else str(settlement.would_refuse)),
        settlement.priority,
        settlement.decision,
        (None if settlement.substituted is None else settlement.substituted.text),
        (None if settlement.stored is None else text_of(settlement.stored)),
        hold_nano_usd,
        booked,
        None if booked is None else text_of(settlement.spent),
    )


def read_call(connection: sqlite3.Connection, call_id: CallId) -> CallRecord | None:
    records = _records(connection.execute(sql.READ_CALL, (call_id,)))
    return records[0] if records else None


def read_stored(connection: sqlite3.Connection, reply_id: str) -> StoredRecord | None:
    row = connection.execute(sql.READ_STORED, (reply_id,)).fetchone()
    if row is None:
        return None
    key_id, started_ns, stored = row
    return StoredRecord(key_id=key_id, started_ns=started_ns, reply=_stored_reply.decode(stored))


def read_calls_page(connection: sqlite3.Connection, sought: CallFilter, before: CallId, limit: int) -> list[CallRecord]:
    values = {**msgspec.structs.asdict(sought), "before": before, "limit": limit}
    return _records(connection.execute(sql.CALLS_PAGE, values))


def read_attempts_page(
    connection: sqlite3.Connection, sought: CallFilter, after: AttemptPlace, limit: int
) -> list[AttemptRecord]:
    before, after_number = after
    values = {**msgspec.structs.asdict(sought), "before": before, "after_number": after_number, "limit": limit}
    records = []
    for row in connection.execute(sql.ATTEMPTS_PAGE, values):
        fields = dict(zip(AttemptRecord.__struct_fields__, row, strict=True))
        for name in ("usage_estimated", "usage_clamped"):
            fields[name] = bool(fields[name])
        records.append(AttemptRecord(**fields))
    return records


def _records(cursor: sqlite3.Cursor) -> list[CallRecord]:
    records = []
    for row in cursor:
        fields = dict(zip(CallRecord.__struct_fields__, row, strict=True))
        for name, kind in (("stream", bool), ("usage_estimated", bool), ("outcome", Outcome)):
            if fields[name] is not None:
                fields[name] = kind(fields[name])
        fields["attempts"] = _read_attempts(fields["attempts"])
        records.append(CallRecord(**fields))
    return records


def read_observed_totals(connection: sqlite3.Connection, group: ObservedGroup, since_ns: int) -> list[ObservedTotal]:
    rows = connection.execute(sql.OBSERVED[group], (since_ns,))
    return [ObservedTotal(**dict(zip(ObservedTotal.__struct_fields__, row, strict=True))) for row in rows]


def _stored(attempt: AttemptRow) -> StoredAttempt:
    usage = attempt.usage
    return StoredAttempt(
        attempt.number,
        attempt.deployment,
        attempt.provider,
        attempt.upstream_model,
        attempt.started_ns,
        attempt.duration_ns,
        attempt.first_token_ns,
        attempt.fault,
        attempt.upstream_status,
        usage.input,
        usage.cached_input,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        usage.estimated,
        usage.clamped,
        attempt.cost_nano_usd,
        attempt.price_version,
    )


def _read_attempts(text: str | None) -> tuple[AttemptRow, ...]:
    return () if text is None else tuple([_attempt(stored) for stored in _decoder.decode(text)])


def _attempt(stored: StoredAttempt) -> AttemptRow:
    return AttemptRow(
        number=stored.number,
        deployment=DeploymentId(stored.deployment),
        provider=ProviderId(stored.provider),
        upstream_model=stored.upstream_model,
        started_ns=stored.started_ns,
        duration_ns=stored.duration_ns,
        first_token_ns=stored.first_token_ns,
        fault=stored.fault,
        upstream_status=stored.upstream_status,
        usage=TokenUsage(
            input=stored.input,
            cached_input=stored.cached_input,
            cache_write=stored.cache_write,
            output=stored.output,
            reasoning=stored.reasoning,
            estimated=stored.estimated,
            clamped=stored.clamped,
        ),
        cost_nano_usd=None if stored.cost_nano_usd is None else NanoUsd(stored.cost_nano_usd),
        price_version=stored.price_version,
    )
