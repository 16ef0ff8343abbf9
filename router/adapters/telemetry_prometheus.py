"""Count calls for Prometheus under OpenTelemetry's GenAI names. All labels are closed sets, all children cached."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from router.domain.faults import Fault
from router.domain.settlement import AttemptRow, Settlement
from router.ports.telemetry import Anomaly

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The buckets that the GenAI conventions advise for durations."""
_TOKENS: Final = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)
_NS_PER_S: Final = 1e9
_MODEL: Final = ("gen_ai_provider_name", "gen_ai_request_model")


class _ModelMetrics:
    """The children of one deployment: looked up once, since `labels()` costs more than counting."""

    __slots__ = ("cost", "duration", "first_token", "input_tokens", "output_tokens")

    def __init__(self, prometheus: "PrometheusTelemetry", provider: str, model: str) -> None:
        self.duration = prometheus.duration.labels(provider, model)
        self.first_token = prometheus.first_token.labels(provider, model)
        self.input_tokens = prometheus.tokens.labels(provider, model, "input")
        self.output_tokens = prometheus.tokens.labels(provider, model, "output")
        self.cost = prometheus.cost.labels(provider, model)


class PrometheusTelemetry:
    """A `Telemetry` over its own registry, which the ops listener exposes."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        operation = "Calls to providers, by provider and upstream model"
        self.duration = Histogram(
            "gen_ai_server_request_duration_seconds", operation, _MODEL, buckets=_SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Dispatch to first content",
            _MODEL,
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of a call",
            (*_MODEL, "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=registry,
        )
        self.cost = Counter("checkrein_cost_usd", "What settled calls cost", _MODEL, registry=registry)
        self._calls = Counter("checkrein_calls", "Settled calls", ("outcome", "fault"), registry=registry)
        self._rejected = Counter(
            "checkrein_requests_rejected", "Requests that never became a call", ("fault",), registry=registry
        )
        self._anomalies = Counter("checkrein_anomalies", "Things that should not happen", ("kind",), registry=registry)
        self._in_flight = Gauge("checkrein_calls_in_flight", "Dispatched and not yet settled", registry=registry)
        self._malformed = Counter(
            "upstream_malformed_events", "Events of providers that were not JSON and not passed on", registry=registry
        )
        self._models: dict[str, _ModelMetrics] = {}
        self._ends: dict[tuple[str, str], Counter] = {}

    def call_opened(self) -> None:
        self._in_flight.inc()

    def call_settled(self, settlement: Settlement) -> None:
        end = (settlement.outcome, settlement.fault or "")
        counter = self._ends.get(end)
        if counter is None:
            counter = self._ends[end] = self._calls.labels(*end)
        counter.inc()
        if settlement.attempts:
            self._in_flight.dec()
        for attempt in settlement.attempts:
            self._attempt(attempt)

    def request_rejected(self, fault: Fault) -> None:
        self._rejected.labels(fault).inc()

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None:
        self._anomalies.labels(anomaly).inc(count)
        if anomaly is Anomaly.MALFORMED_EVENT:
            self._malformed.inc(count)

    def _attempt(self, attempt: AttemptRow) -> None:
        # Bounded by the deployments of the configurations this process has seen.
        metrics = self._models.get(attempt.deployment)
        if metrics is None:
            metrics = self._models[attempt.deployment] = _ModelMetrics(
                self, attempt.provider, attempt.upstream_model
            )
        metrics.duration.observe(attempt.duration_ns / _NS_PER_S)
        if attempt.first_token_ns is not None:
            metrics.first_token.observe(attempt.first_token_ns / _NS_PER_S)
        if attempt.usage.input:
            metrics.input_tokens.observe(attempt.usage.input)
        if attempt.usage.output:
            metrics.output_tokens.observe(attempt.usage.output)
        if attempt.cost_nano_usd:
            metrics.cost.inc(attempt.cost_nano_usd / _NS_PER_S)
