"""Count calls for Prometheus under OpenTelemetry's GenAI names. All labels are closed sets.

Counting is plain arithmetic on our own tallies, 1 µs a call where the library's children cost 5: prometheus-client
sees them only when somebody scrapes, as families made by `collect`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from router.domain.dispatch.breaker import BreakerState
from router.domain.dispatch.breakers import Transition
from router.domain.faults import Fault
from router.domain.governance.budget import Crossed
from router.domain.ids import DeploymentId
from router.domain.served_names import is_same_model
from router.domain.settlement import Settlement, Substituted
from router.domain.webhook import DeliveryOutcome
from router.ports.telemetry import Anomaly

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""The buckets that the GenAI conventions advise for durations."""
_TOKENS: Final = (1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576)
_NS_PER_S: Final = 1e9
_MODEL: Final = ("gen_ai_provider_name", "gen_ai_request_model")
_BREAKER: Final = ("deployment", "credential")
_BREAKER_VALUES: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}
_TOKEN_TYPE: Final = (*_MODEL, "gen_ai_token_type")


class _Histogram:
    """Observations by bucket; integers in a unit of which `scale` make one of the bounds'."""

    __slots__ = ("_bounds", "_names", "_scale", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...], scale: float) -> None:
        self._bounds = [bound * scale for bound in bounds]
        self._names = [*map(str, map(float, bounds)), "+Inf"]
        self._scale = scale
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0

    def observe(self, value: int) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def sample(self) -> tuple[list[tuple[str, float]], float]:
        """Return what the library wants: cumulative buckets, and the sum."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for name, count in zip(self._names, self.counts, strict=True):
            total += count
            buckets.append((name, total))
        return buckets, self.sum / self._scale


class _ModelTally:
    """What one upstream model did. Durations in nanoseconds, cost in nano-USD."""

    __slots__ = ("cost", "duration", "first_token", "input_tokens", "labels", "output_tokens")

    def __init__(self, labels: tuple[str, str]) -> None:
        self.labels = labels
        self.duration = _Histogram(_SECONDS, _NS_PER_S)
        self.first_token = _Histogram(_SECONDS, _NS_PER_S)
        self.input_tokens = _Histogram(_TOKENS, 1)
        self.output_tokens = _Histogram(_TOKENS, 1)
        self.cost = 0


class PrometheusTelemetry(Collector):
    """A `Telemetry` with a registry of its own, which the ops listener exposes."""

    def __init__(self) -> None:
        # Bounded by the deployments of the configurations that this process has seen, and by closed sets.
        self._models: dict[tuple[str, str], _ModelTally] = {}
        self._ends: dict[tuple[str, str], int] = {}
        self._rejected: dict[str, int] = {}
        self._anomalies: dict[str, int] = {}
        self._crossed: dict[str, int] = {}
        self._would_refuse: dict[str, int] = {}
        self._substituted: dict[Substituted, int] = {}
        self._mismatched: dict[str, int] = {}
        self._transitions: dict[tuple[str, str, str], int] = {}
        self.breaker_states: Callable[[], Sequence[tuple[DeploymentId, str, BreakerState]]] = tuple
        """Asked at each scrape; set by whoever knows."""
        self._webhooks: dict[str, int] = {}
        self.open_calls: Callable[[], int] = lambda: 0
        """Asked at each scrape; set by whoever knows, as the next."""
        self.upstream_remaining: Callable[[], Iterable[tuple[tuple[str, str], int]]] = lambda: ()
        """By deployment in force and unit."""
        self.store_unseen_ns: Callable[[], int] = int
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def call_settled(self, settlement: Settlement) -> None:
        end = (settlement.outcome, settlement.fault or "")
        self._ends[end] = self._ends.get(end, 0) + 1
        if settlement.would_refuse is not None:
            self._would_refuse[settlement.would_refuse] = self._would_refuse.get(settlement.would_refuse, 0) + 1
        if settlement.substituted is not None:
            self._substituted[settlement.substituted] = self._substituted.get(settlement.substituted, 0) + 1
        served, deployment = settlement.served_model, settlement.served_deployment
        if served is not None and deployment is not None:
            asked = settlement.attempts[-1].upstream_model
            if served != asked and not is_same_model(asked, served):
                self._mismatched[deployment] = self._mismatched.get(deployment, 0) + 1
        for attempt in settlement.attempts:
            labels = (attempt.provider, attempt.upstream_model)
            tally = self._models.get(labels)
            if tally is None:
                tally = self._models[labels] = _ModelTally(labels)
            tally.duration.observe(attempt.duration_ns)
            if attempt.first_token_ns is not None:
                tally.first_token.observe(attempt.first_token_ns)
            usage = attempt.usage
            if usage.input:
                tally.input_tokens.observe(usage.input)
            if usage.output:
                tally.output_tokens.observe(usage.output)
            if attempt.cost_nano_usd:
                tally.cost += attempt.cost_nano_usd

    def request_rejected(self, fault: Fault) -> None:
        self._rejected[fault] = self._rejected.get(fault, 0) + 1

    def budget_crossed(self, crossed: Crossed) -> None:
        self._crossed[crossed.action] = self._crossed.get(crossed.action, 0) + 1

    def breaker_changed(self, transition: Transition) -> None:
        key = (transition.deployment, transition.credential, transition.to)
        self._transitions[key] = self._transitions.get(key, 0) + 1

    def webhook_tried(self, outcome: DeliveryOutcome) -> None:
        self._webhooks[outcome] = self._webhooks.get(outcome, 0) + 1

    def noticed(self, anomaly: Anomaly, count: int = 1) -> None:
        self._anomalies[anomaly] = self._anomalies.get(anomaly, 0) + count

    def collect(self) -> Iterator[Metric]:
        """Make the families of one scrape. Runs beside the loop: a call settled meanwhile is in it or is not."""
        yield from _model_families(list(self._models.values()))
        yield GaugeMetricFamily("checkrein_calls_in_flight", "Being served now", self.open_calls())
        remaining = GaugeMetricFamily(
            "checkrein_upstream_limit_remaining", "Left of our limits at providers", labels=("deployment", "unit")
        )
        for labels, count in self.upstream_remaining():
            remaining.add_metric(labels, count)
        yield remaining
        unseen_s = self.store_unseen_ns() / _NS_PER_S
        yield GaugeMetricFamily(
            "checkrein_store_unseen_seconds", "Since keys could be looked up last; 0: now", unseen_s
        )
        calls = CounterMetricFamily("checkrein_calls", "Settled calls", labels=("outcome", "fault"))
        for end, count in list(self._ends.items()):
            calls.add_metric(end, count)
        yield calls
        yield _counter("checkrein_requests_rejected", "Requests that never became a call", "fault", self._rejected)
        yield _counter(
            "checkrein_would_refuse", "Calls served that only observing let pass", "fault", self._would_refuse
        )
        yield _counter("checkrein_budget_thresholds", "Thresholds that budgets reached", "action", self._crossed)
        substituted = CounterMetricFamily(
            "checkrein_substituted_calls", "Calls that another model served", labels=Substituted._fields
        )
        for one, count in list(self._substituted.items()):
            substituted.add_metric(one, count)
        yield substituted
        yield _counter(
            "checkrein_upstream_model_mismatch",
            "Calls whose provider named another model than it was asked for",
            "deployment",
            self._mismatched,
        )
        yield from self._breaker_families()
        yield _counter(
            "checkrein_webhook_deliveries", "Tries to tell an event, and lost ones", "outcome", self._webhooks
        )
        yield _counter("checkrein_anomalies", "Things that should not happen", "kind", self._anomalies)
        yield CounterMetricFamily(
            "upstream_malformed_events",
            "Events of providers that were not JSON and not passed on",
            value=self._anomalies.get(Anomaly.MALFORMED_EVENT, 0),
        )

    def _breaker_families(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("checkrein_breaker_state", "0 closed, 1 half open, 2 open", labels=_BREAKER)
        for deployment, credential, now in self.breaker_states():
            state.add_metric((deployment, credential), _BREAKER_VALUES[now])
        yield state
        changes = CounterMetricFamily(
            "checkrein_breaker_transitions", "Breakers that changed their state", labels=(*_BREAKER, "to")
        )
        for labels, count in list(self._transitions.items()):
            changes.add_metric(labels, count)
        yield changes


def _model_families(tallies: list[_ModelTally]) -> Iterator[Metric]:
    duration = HistogramMetricFamily(
        "gen_ai_server_request_duration_seconds", "Attempts at providers, from dispatch to end", labels=_MODEL
    )
    first_token = HistogramMetricFamily(
        "gen_ai_server_time_to_first_token_seconds", "From dispatch to the first content", labels=_MODEL
    )
    tokens = HistogramMetricFamily("gen_ai_client_token_usage", "Tokens of an attempt", labels=_TOKEN_TYPE)
    cost = CounterMetricFamily("checkrein_cost_usd", "What attempts cost", labels=_MODEL)
    for tally in tallies:
        duration.add_metric(tally.labels, *tally.duration.sample())
        first_token.add_metric(tally.labels, *tally.first_token.sample())
        tokens.add_metric((*tally.labels, "input"), *tally.input_tokens.sample())
        tokens.add_metric((*tally.labels, "output"), *tally.output_tokens.sample())
        cost.add_metric(tally.labels, tally.cost / _NS_PER_S)
    yield from (duration, first_token, tokens, cost)


def _counter(name: str, text: str, label: str, counts: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in list(counts.items()):
        family.add_metric((value,), count)
    return family
