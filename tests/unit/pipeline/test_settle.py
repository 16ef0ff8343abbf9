"""What a closed call adds up to, and who is told."""

import json
from dataclasses import replace

import msgspec
import pytest

from router.domain.catalog import Deployment
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dialects.dialect import RESPONSES
from router.domain.dialects.responses.meter import ResponsesMeter
from router.domain.dialects.responses.reply_to_chat import ResponsesToChat
from router.domain.faults import Fault
from router.domain.ids import DeploymentId, Epoch, KeyId, ModelName
from router.domain.money import NanoUsd
from router.domain.settlement import Outcome, Settlement, StoredReply, Substituted
from router.domain.stream import Event, EventKind
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from router.pipeline.settle import settlement_of
from router.ports.telemetry import Anomaly
from tests.support.attempts import attempt as begun_attempt
from tests.support.dialects import response
from tests.support.fakes import PRICE, FedStream, chunk, deployment, usage_chunk
from tests.support.pipeline import BreakableLedger, Rig


def attempted(call: Call, *events: Event, priced: bool = True, at: Deployment | None = None) -> None:
    card = PRICE if priced else None
    attempt = begun_attempt(
        len(call.attempts) + 1, at or call.snapshot.models[ModelName("small")].deployments[0], card=card
    )
    attempt.flight = Flight(FedStream(), ChatMeter(wants_usage=False))
    attempt.flight.meter.take(events)
    call.attempts.append(attempt)


def test_attempts_add_up() -> None:
    call = Rig().call()
    attempted(call, chunk("a"), usage_chunk(100, 10))
    attempted(call, chunk("a"), usage_chunk(200, 20))
    call.outcome = Outcome.COMPLETED

    settlement = settlement_of(call, call.arrived + 9)

    assert (300, 30, 9) == (settlement.usage.input, settlement.usage.output, settlement.duration_ns)
    assert NanoUsd(300 * 2_000 + 30 * 10_000) == settlement.cost_nano_usd
    assert [1, 2] == [attempt.number for attempt in settlement.attempts]


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    call = Rig().call()
    attempted(call, chunk("a"), usage_chunk(100, 10))
    attempted(call, chunk("a"), usage_chunk(100, 10), priced=False)
    call.outcome = Outcome.COMPLETED

    assert settlement_of(call, call.arrived).cost_nano_usd is None


def test_a_call_without_attempts_costs_nothing() -> None:
    call = Rig().call()
    call.outcome = Outcome.REFUSED

    assert 0 == settlement_of(call, call.arrived).cost_nano_usd


def test_a_caller_who_left_is_its_own_fault() -> None:
    call = Rig().call()
    call.outcome = Outcome.CLIENT_CANCELLED

    assert Fault.CLIENT_CLOSED is settlement_of(call, call.arrived).fault


def test_an_open_call_is_not_settled() -> None:
    call = Rig().call()

    with pytest.raises(AssertionError, match="only a closed call"):
        settlement_of(call, call.arrived)


def test_what_should_not_happen_is_counted() -> None:
    rig = Rig()
    call = rig.call()
    clamped = Event(
        EventKind.CHUNK,
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}\n\n',
    )
    attempted(call, Event(EventKind.CHUNK, b"data: {oops}\n\n"), clamped, priced=False)
    call.close(Outcome.COMPLETED)

    assert {(Anomaly.UNPRICED_CALL, 1), (Anomaly.USAGE_CLAMPED, 1), (Anomaly.MALFORMED_EVENT, 1)} == set(
        rig.telemetry.anomalies
    )


def other_place() -> Deployment:
    return replace(deployment(), id=DeploymentId("up/other"), model=ModelName("hidden"))


def settled(call: Call, outcome: Outcome = Outcome.COMPLETED) -> Settlement:
    call.outcome = outcome
    return settlement_of(call, call.arrived)


def test_a_call_without_a_choice_has_no_decision() -> None:
    rig = Rig()
    call = rig.call()
    call.plan = rig.pipeline.planner.plan(call)  # type: ignore[assignment]  # no refusal
    attempted(call, chunk("a"))

    found = settled(call)

    assert (None, None) == (found.decision, found.substituted)


def test_a_fallback_that_served_is_on_record_with_the_way_to_it() -> None:
    rig = Rig()
    call = rig.call()
    call.plan = rig.pipeline.planner.plan(call)  # type: ignore[assignment]  # no refusal
    attempted(call, chunk("a"), at=other_place())

    found = settled(call)

    assert Substituted("small", "hidden", "fallback") == found.substituted
    assert found.decision is not None
    assert [["up/other", "hidden"]] == msgspec.json.decode(found.decision)["t"]


def test_nobody_is_a_substitute_who_served_nothing() -> None:
    rig = Rig()
    call = rig.call()
    call.plan = rig.pipeline.planner.plan(call)  # type: ignore[assignment]  # no refusal
    attempted(call, at=other_place())

    found = settled(call, Outcome.FAILED)

    assert found.substituted is None
    assert found.decision is not None


def answered(rig: Rig, **fields: object) -> Settlement:
    body = json.dumps({"model": "small", "input": "hi", **fields})
    call = rig.call(body, grammar=RESPONSES)
    attempt = begun_attempt(1, replace(deployment(), credential="second"), card=PRICE)
    attempt.flight = Flight(FedStream(), ResponsesMeter(wants_usage=True))
    attempt.flight.meter.take([Event(EventKind.COMPLETE, json.dumps(response()).encode())])
    call.attempts.append(attempt)
    call.close(Outcome.COMPLETED)
    assert call.settlement is not None
    return call.settlement


class Forgetful(BreakableLedger):
    """Has committed nothing yet."""

    async def read_stored(self, reply_id: str) -> None:
        del reply_id


async def test_a_reply_that_is_stored_is_recalled_by_its_key() -> None:
    rig = Rig(ledger=Forgetful(Epoch(1)))
    stored = answered(rig).stored

    assert StoredReply("resp_1", deployment().id, deployment().provider, "second") == stored
    assert stored == await rig.pipeline.recall.find("resp_1", KeyId("ci"))
    assert await rig.pipeline.recall.find("resp_1", KeyId("other")) is None


def test_a_reply_that_its_caller_wants_not_stored_is_not_recalled() -> None:
    assert [None, "resp_1"] == [
        None if one is None else one.id for one in (answered(Rig(), store=store).stored for store in (False, True))
    ]


def test_a_translated_reply_is_stored_nowhere() -> None:
    call = Rig().call()
    attempted(call, chunk("a"), usage_chunk(1, 1))
    (attempt,) = call.attempts
    assert attempt.flight is not None
    attempt.flight = Flight(FedStream(), ResponsesMeter(wants_usage=True))
    attempt.flight.meter.take([Event(EventKind.COMPLETE, json.dumps(response()).encode())])
    attempt.translator = ResponsesToChat(reply_id="c", created_s=1, wants_usage=True)
    call.outcome = Outcome.COMPLETED

    assert settlement_of(call, call.arrived).stored is None
