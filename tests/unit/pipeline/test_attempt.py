"""How one dispatch is recorded and priced."""

from dataclasses import replace

import pytest

from router.domain.dialects.arriving_form import Ending
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dialects.metered import Guess
from router.domain.dialects.unit_meter import UnitMeter
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import Fault
from router.domain.pricing import Rates, UnitRates
from router.domain.stream import Event, EventKind
from router.domain.units import Units
from router.domain.usage import NO_USAGE, TokenUsage
from router.pipeline.attempt import PATIENCE_NS, Attempt
from router.pipeline.flight import Flight
from router.pipeline.upload import Upload
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import PRICE, SECOND, FedStream, breakers, chunk, deployment, usage_chunk

FREE = Rates(input=0, cached_input=0, cache_write=0, output=0)


def attempt(*, priced: bool = True) -> Attempt:
    made = begun_attempt(card=PRICE if priced else None, started_ns=5, begun=100)
    made.flight = Flight(FedStream(), ChatMeter(wants_usage=False))
    return made


def test_a_served_attempt_costs_what_the_provider_says_it_used() -> None:
    served = attempt()
    assert served.flight is not None
    served.flight.meter.take([chunk("a"), usage_chunk(2006, 300)])
    served.first_token = 130

    row = served.row(150, input_bytes=9)

    assert (7_012_000, "test", 50, 30) == (
        row.cost_nano_usd,
        row.price_version,
        row.duration_ns,
        row.first_token_ns,
    )


def test_its_breaker_hears_how_long_the_first_token_took_and_not_the_rest() -> None:
    at, fleet = deployment(), breakers()
    fleet.follow(BreakerTerms(slow_call_ns=SECOND), [at])
    for begun, first, end in ((100, 100 + SECOND, 9 * SECOND), (100, 101 + SECOND, 2 * SECOND)):
        made = begun_attempt(begun=begun, fleet=fleet)
        made.began(first)
        made.began(end)
        made.leave(end)
    failed = begun_attempt(begun=100, fleet=fleet)
    failed.fail(Failure(kind=FailureKind.FIRST_EVENT_TIMEOUT, message="no"), 101 + SECOND)
    (state,) = fleet.states(3 * SECOND)

    assert (3, 2, 1) == (state.calls, state.slow, state.failures)


def test_a_caller_with_no_patience_makes_nobody_slow() -> None:
    at, fleet = deployment(), breakers()
    fleet.follow(BreakerTerms(slow_call_ns=SECOND), [at])
    hurried = begun_attempt(begun=0, hurried=True, fleet=fleet)
    hurried.fail(Failure(kind=FailureKind.TOTAL_TIMEOUT, message="no"), 2 * SECOND)
    begun_attempt(begun=0, fleet=fleet).leave(2 * SECOND)

    assert (0, 0) == (fleet.states(0)[0].calls, fleet.states(0)[0].slow)


def metered(units: UnitRates | None) -> Attempt:
    made = begun_attempt(card=replace(PRICE, base=FREE, units=units), started_ns=5, begun=100)
    meter = UnitMeter(guess=Guess(Units(characters=7), 0))
    meter.take([Event(EventKind.BYTES, b"a")])
    made.flight = Flight(FedStream(), meter)
    return made


def test_units_are_paid_for_beside_tokens() -> None:
    assert 21 == metered(UnitRates(character=3_000_000)).row(150, input_bytes=9).cost_nano_usd


def test_units_without_a_price_cost_nobody_knows_what() -> None:
    assert metered(UnitRates(image=1)).row(150, input_bytes=9).cost_nano_usd is None
    assert 0 == metered(None).row(150, input_bytes=9).cost_nano_usd


def test_without_a_price_the_cost_is_unknown_not_zero() -> None:
    row = attempt(priced=False).row(150, input_bytes=9)

    assert (None, None) == (row.cost_nano_usd, row.price_version)


@pytest.mark.parametrize("kind", [FailureKind.CONNECT, FailureKind.CONNECT_TIMEOUT, FailureKind.STATUS])
def test_a_failure_that_no_provider_bills_is_free(kind: FailureKind) -> None:
    failed = attempt()
    failed.fail(Failure(kind=kind, message="no", status=429), 200)

    row = failed.row(150, input_bytes=9)

    assert (NO_USAGE, 0, 429) == (row.usage, row.cost_nano_usd, row.upstream_status)


@pytest.mark.parametrize("kind", [FailureKind.RESET, FailureKind.FIRST_EVENT_TIMEOUT, FailureKind.ABORTED])
def test_a_failure_after_the_request_was_sent_is_estimated(kind: FailureKind) -> None:
    failed = attempt()
    failed.fail(Failure(kind=kind, message="no"), 200)

    assert TokenUsage(input=3, estimated=True) == failed.row(150, input_bytes=9).usage


def test_an_error_event_after_tokens_is_billed_for_them() -> None:
    failed = attempt()
    assert failed.flight is not None
    failed.flight.meter.take([chunk("a"), chunk("b")])
    failed.fail(Failure(kind=FailureKind.ERROR_EVENT, message="no"), 200)

    assert 2 == failed.row(150, input_bytes=9).usage.output


def test_the_first_failure_is_the_cause() -> None:
    failed = attempt()
    failed.fail(Failure(kind=FailureKind.IDLE_TIMEOUT, message="first"), 200)
    failed.fail(Failure(kind=FailureKind.ABORTED, message="its echo"), 300)

    assert Fault.TIMEOUT is failed.row(150, input_bytes=9).fault


def test_an_attempt_cancelled_before_its_upstream_was_open_may_still_have_been_sent() -> None:
    cancelled = begun_attempt(started_ns=5, begun=100)

    assert TokenUsage(input=3, estimated=True) == cancelled.row(150, input_bytes=9).usage


@pytest.mark.parametrize(
    ("kind", "hurried", "began", "after_ns", "counts"),
    [
        (FailureKind.TOTAL_TIMEOUT, True, False, PATIENCE_NS - 1, False),
        (FailureKind.CONNECT_TIMEOUT, True, False, PATIENCE_NS - 1, False),
        (FailureKind.TOTAL_TIMEOUT, True, True, PATIENCE_NS, False),
        (FailureKind.TOTAL_TIMEOUT, True, False, PATIENCE_NS, True),
        (FailureKind.TOTAL_TIMEOUT, False, False, 1, True),
        (FailureKind.IDLE_TIMEOUT, True, False, 1, True),
    ],
)
def test_a_callers_own_hurry_says_nothing_about_the_provider(
    kind: FailureKind, hurried: bool, began: bool, after_ns: int, counts: bool
) -> None:
    made = begun_attempt(begun=100, hurried=hurried)
    if began:
        made.began(101)

    assert counts == made.fail(Failure(kind=kind, message="late"), 100 + after_ns).counts


def uploading(*, whole: bool) -> Attempt:
    made = begun_attempt(begun=100)
    made.upload = Upload(Ending(b"", b"--x", frozenset(), frozenset()), b"", _nothing, length=0)
    made.upload.whole = whole
    return made


async def _nothing() -> bytes:
    return b""


def test_who_never_had_the_whole_request_bills_nothing() -> None:
    failed = uploading(whole=False)
    failed.fail(Failure(kind=FailureKind.RESET, message="gone"), 200)

    assert (NO_USAGE, 0) == (failed.row(300, input_bytes=9).usage, failed.row(300, input_bytes=9).cost_nano_usd)
    assert NO_USAGE is uploading(whole=False).row(300, input_bytes=9).usage
    assert NO_USAGE is not uploading(whole=True).row(300, input_bytes=9).usage


def test_who_answers_well_before_it_had_all_is_paid() -> None:
    served = uploading(whole=False)
    served.began(150)

    assert NO_USAGE is not served.row(300, input_bytes=9).usage


@pytest.mark.parametrize(
    ("whole", "kind", "after_ns", "counts"),
    [
        (False, FailureKind.TOTAL_TIMEOUT, 2 * PATIENCE_NS, False),
        (False, FailureKind.IDLE_TIMEOUT, 1, True),
        (False, FailureKind.RESET, 1, True),
        (True, FailureKind.TOTAL_TIMEOUT, PATIENCE_NS - 1, False),
        (True, FailureKind.TOTAL_TIMEOUT, PATIENCE_NS, True),
    ],
)
def test_a_slow_upload_says_nothing_about_the_provider(
    whole: bool, kind: FailureKind, after_ns: int, counts: bool
) -> None:
    made, had_it = uploading(whole=whole), 100 + 99 * SECOND
    if whole:
        made.uploaded(had_it)

    assert counts == made.fail(Failure(kind=kind, message="late"), had_it + after_ns).counts


def test_its_breaker_hears_nothing_of_the_time_of_an_upload() -> None:
    at, fleet = deployment(), breakers()
    fleet.follow(BreakerTerms(slow_call_ns=SECOND), [at])
    made = begun_attempt(begun=0, fleet=fleet)
    made.uploads(uploading(whole=True).upload, 0)  # type: ignore[arg-type]  # it has one
    made.uploaded(60 * SECOND)
    made.began(60 * SECOND + 1)
    made.leave(61 * SECOND)

    assert (1, 0) == (fleet.states(61 * SECOND)[0].calls, fleet.states(61 * SECOND)[0].slow)
