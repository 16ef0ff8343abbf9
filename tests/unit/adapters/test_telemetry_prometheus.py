"""What is counted shows under its documented name, with closed labels."""

import msgspec
import pytest
from prometheus_client.exposition import generate_latest

from router.adapters.telemetry_prometheus import PrometheusTelemetry
from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import BudgetId, Crossed, ThresholdAction
from router.domain.ids import DeploymentId, target_of
from router.domain.settlement import Outcome, Substituted
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly
from tests.support.ledger_facts import settlement

MODEL = 'gen_ai_provider_name="local",gen_ai_request_model="mock"'


def lines(telemetry: PrometheusTelemetry) -> set[str]:
    return {line for line in generate_latest(telemetry.registry).decode().splitlines() if not line.startswith("#")}


def test_calls_are_counted_by_how_they_ended() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.call_settled(settlement(1))
    telemetry.call_settled(settlement(2))
    telemetry.call_settled(settlement(3, outcome=Outcome.FAILED, fault=Fault.TIMEOUT))

    assert {
        'checkrein_calls_total{fault="",outcome="completed"} 2.0',
        'checkrein_calls_total{fault="timeout",outcome="failed"} 1.0',
    } <= lines(telemetry)


def test_attempts_are_observed_under_the_names_of_the_genai_conventions() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.call_settled(settlement(1, cost=500_000_000))

    # The attempt took 0.8 s, its first token came after 0.2 s: each in the first bucket that holds it.
    assert {
        f'gen_ai_server_request_duration_seconds_bucket{{{MODEL},le="0.64"}} 0.0',
        f'gen_ai_server_request_duration_seconds_bucket{{{MODEL},le="1.28"}} 1.0',
        f'gen_ai_server_request_duration_seconds_bucket{{{MODEL},le="+Inf"}} 1.0',
        f"gen_ai_server_request_duration_seconds_count{{{MODEL}}} 1.0",
        f'gen_ai_server_time_to_first_token_seconds_bucket{{{MODEL},le="0.16"}} 0.0',
        f'gen_ai_server_time_to_first_token_seconds_bucket{{{MODEL},le="0.32"}} 1.0',
        f'gen_ai_client_token_usage_sum{{{MODEL},gen_ai_token_type="input"}} 2006.0',
        f'gen_ai_client_token_usage_sum{{{MODEL},gen_ai_token_type="output"}} 300.0',
        f"checkrein_cost_usd_total{{{MODEL}}} 0.5",
    } <= lines(telemetry)


def test_rejections_and_anomalies_are_counted_by_kind() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.request_rejected(Fault.INVALID_KEY)
    telemetry.noticed(Anomaly.MALFORMED_EVENT, 3)
    telemetry.noticed(Anomaly.LEDGER_RETRY)

    assert {
        'checkrein_requests_rejected_total{fault="invalid_api_key"} 1.0',
        'checkrein_anomalies_total{kind="malformed_event"} 3.0',
        'checkrein_anomalies_total{kind="ledger_retry"} 1.0',
        "upstream_malformed_events_total 3.0",
    } <= lines(telemetry)


@pytest.mark.parametrize("count", [0, 3])
def test_calls_in_flight_are_asked_for_at_each_scrape(count: int) -> None:
    telemetry = PrometheusTelemetry()
    telemetry.open_calls = lambda: count

    assert f"checkrein_calls_in_flight {count}.0" in lines(telemetry)


def test_thresholds_and_what_observing_let_pass_are_counted() -> None:
    telemetry = PrometheusTelemetry()
    telemetry.budget_crossed(
        Crossed(budget=BudgetId("key/ci/usd/day@UTC"), value="ci", at_pct=80, action=ThresholdAction.NOTIFY)
    )
    telemetry.call_settled(msgspec.structs.replace(settlement(1), would_refuse=Fault.RATE_LIMITED))

    assert {
        'checkrein_budget_thresholds_total{action="notify"} 1.0',
        'checkrein_would_refuse_total{fault="rate_limited"} 1.0',
    } <= lines(telemetry)


def test_what_is_left_at_providers_is_asked_at_each_scrape() -> None:
    telemetry = PrometheusTelemetry()
    before = lines(telemetry)
    telemetry.upstream_remaining = lambda: [(("up:model", "requests"), 7), (("up:model", "tokens"), 0)]

    assert {
        'checkrein_upstream_limit_remaining{deployment="up:model",unit="requests"} 7.0',
        'checkrein_upstream_limit_remaining{deployment="up:model",unit="tokens"} 0.0',
    } == lines(telemetry) - before


def test_breakers_show_their_state_and_how_often_it_changed() -> None:
    telemetry = PrometheusTelemetry()
    up = DeploymentId("up/model")
    telemetry.breaker_states = lambda: [
        (up, "", BreakerState.CLOSED),
        (up, "a", BreakerState.HALF_OPEN),
        (up, "b", BreakerState.OPEN),
    ]
    for state in (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.OPEN):
        telemetry.breaker_changed(Transition(target=target_of(up, "b"), deployment=up, credential="b", to=state))

    assert {
        'checkrein_breaker_state{credential="",deployment="up/model"} 0.0',
        'checkrein_breaker_state{credential="a",deployment="up/model"} 1.0',
        'checkrein_breaker_state{credential="b",deployment="up/model"} 2.0',
        'checkrein_breaker_transitions_total{credential="b",deployment="up/model",to="open"} 2.0',
        'checkrein_breaker_transitions_total{credential="b",deployment="up/model",to="half_open"} 1.0',
    } <= lines(telemetry)


def test_deliveries_of_webhooks_are_counted_by_their_outcome() -> None:
    telemetry = PrometheusTelemetry()
    for outcome in (DeliveryOutcome.FAILED, DeliveryOutcome.FAILED, DeliveryOutcome.DELIVERED):
        telemetry.webhook_tried(outcome)
    telemetry.noticed(Anomaly.WEBHOOK_DROPPED)

    assert {
        'checkrein_webhook_deliveries_total{outcome="failed"} 2.0',
        'checkrein_webhook_deliveries_total{outcome="delivered"} 1.0',
        'checkrein_anomalies_total{kind="webhook_dropped"} 1.0',
    } <= lines(telemetry)


def test_calls_that_another_model_served_are_counted_by_configured_names() -> None:
    telemetry = PrometheusTelemetry()
    for reason in ("down", "down", "fallback"):
        other = Substituted("small", "large", reason)
        telemetry.call_settled(msgspec.structs.replace(settlement(1), substituted=other))

    assert {
        'checkrein_substituted_calls_total{asked="small",reason="down",served="large"} 2.0',
        'checkrein_substituted_calls_total{asked="small",reason="fallback",served="large"} 1.0',
    } <= lines(telemetry)


@pytest.mark.parametrize(
    ("served_model", "deployment", "count"),
    [("other", "local:mock", 1), ("mock-2026-01-01", "local:mock", 0), (None, "local:mock", 0), ("other", None, 0)],
)
def test_a_provider_that_served_another_model_is_counted_once_a_call(
    served_model: str | None, deployment: str | None, count: int
) -> None:
    telemetry = PrometheusTelemetry()
    named = None if deployment is None else DeploymentId(deployment)
    telemetry.call_settled(
        msgspec.structs.replace(settlement(1, attempts=2), served_model=served_model, served_deployment=named)
    )
    told = [line for line in lines(telemetry) if line.startswith("checkrein_upstream_model_mismatch_total")]

    assert ['checkrein_upstream_model_mismatch_total{deployment="local:mock"} 1.0'] * count == told


@pytest.mark.parametrize(("unseen_ns", "shown"), [(0, "0.0"), (2_500_000_000, "2.5")])
def test_a_store_that_is_out_of_reach_is_shown(unseen_ns: int, shown: str) -> None:
    telemetry = PrometheusTelemetry()
    telemetry.store_unseen_ns = lambda: unseen_ns

    assert f"checkrein_store_unseen_seconds {shown}" in lines(telemetry)
