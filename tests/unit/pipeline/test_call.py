"""A call ends once."""

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.faults import Fault, Refusal
from router.domain.settlement import Outcome
from router.pipeline.flight import Flight
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import FedStream
from tests.support.pipeline import Rig


def test_the_first_outcome_wins() -> None:
    rig = Rig()
    call = rig.call()
    call.close(Outcome.COMPLETED)
    call.close(Outcome.FAILED, Refusal(fault=Fault.INTERNAL, message="late"))

    assert (Outcome.COMPLETED, None) == (call.outcome, call.refusal)
    assert [Outcome.COMPLETED] == [settled.outcome for settled in rig.telemetry.settled]


def test_closing_leaves_the_flight() -> None:
    call = Rig().call()
    stream = FedStream()
    attempt = begun_attempt()
    attempt.flight = Flight(stream, ChatMeter(wants_usage=False))
    call.attempts.append(attempt)
    call.close(Outcome.CLIENT_CANCELLED)

    assert stream.aborted
