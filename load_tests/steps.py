"""Measure what each step of a request costs in CPU time, alone and without a network: `make bench` prints the table.

Figures are medians of several rounds of `time.process_time`; quote ratios, as machines differ. The whole of a request,
sockets included, is measured from outside by load, beside other gateways (docs/performance.md).
"""

import gc
import hashlib
import io
import statistics
import time
from collections.abc import Callable
from datetime import UTC
from functools import partial
from typing import Final

from load_tests.dialect_steps import Translated
from load_tests.routing_steps import RATES, Balanced, Dispatched, Draw
from router.adapters.ledger_memory import MemoryLedger
from router.adapters.telemetry_log import LogTelemetry
from router.adapters.telemetry_prometheus import PrometheusTelemetry
from router.adapters.upstreams.sse import SseSplitter
from router.domain.catalog import Deployment, Model, Provider, ProviderKind, Snapshot, Strategy, Timeouts
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dialects.dialect import CHAT
from router.domain.dialects.request import Request, read_request, upstream_body
from router.domain.governance.accounts import Accounts
from router.domain.governance.budget import Amounts, Budget, BudgetId, Scope, ScopeKind, Unit
from router.domain.governance.ledger import room_of
from router.domain.governance.output_estimate import OutputEstimates, class_of
from router.domain.governance.permits import ConcurrencyLimit, Permit, Permits
from router.domain.governance.rate import NOTHING, RateLimit, costs_of
from router.domain.governance.rate import Rates as governance_rates  # noqa: N813 - prices have rates too
from router.domain.governance.rate import Unit as RateUnit
from router.domain.governance.sizing import Room, Sized, Terms, size_call
from router.domain.governance.windows import Calendar, CalendarUnit
from router.domain.ids import DeploymentId, Epoch, KeyId, ModelName, ProviderId
from router.domain.metadata import Metadata, read_metadata
from router.domain.planning.plan import RoutePlan
from router.domain.pricing import PriceCard
from router.domain.principal import KeyEntry, Principal
from router.domain.settlement import Outcome, Settlement
from router.domain.stream import Event, EventKind
from router.facades.http.reply_writer import ReplyWriter
from router.facades.http.voice import CHAT_VOICE
from router.pipeline.admit import Gate
from router.pipeline.attempt import Attempt
from router.pipeline.authenticate import authenticate
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from router.pipeline.plan import Planner
from router.pipeline.recall import Recall
from router.pipeline.settle import Settler, settlement_of
from router.pipeline.upstream_limit_book import UpstreamLimitBook

ROUNDS: Final = 7
TURNS: Final = 5_000
KEY: Final = "sk-bench-key"

HEADERS: Final = [
    (b"host", b"127.0.0.1:8080"),
    (b"content-type", b"application/json"),
    (b"authorization", f"Bearer {KEY}".encode()),
    (b"content-length", b"1145"),
    (b"user-agent", b"OpenAI/Python 2.54.0"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-retry-count", b"0"),
    (b"accept", b"application/json"),
]
BODY: Final = (
    b'{"model":"bench","messages":[{"role":"system","content":"You are a helpful assistant."},'
    b'{"role":"user","content":"' + b"Summarise the notes. " * 48 + b'"}],"temperature":0.2,"max_tokens":256}'
)
REPLY: Final = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"up","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"' + b"The quick brown fox. " * 43 + b'","refusal":null},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":180,"total_tokens":380}}'
)
CHUNK: Final = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,'
    b'"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}\n\n'
)
NAMED_CHUNK: Final = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":" token"}}\n\n'
)


WINDOW: Final = Calendar(unit=CalendarUnit.DAY, zone=UTC)
AMOUNTS: Final = Amounts(usd=7_000_000, tokens=500, requests=1, seconds=1)
COSTS: Final = costs_of(requests=1, input_tokens=250, output_tokens=256)
TERMS: Final = Terms()
KIND: Final = class_of("bench", "load", 1_200)


class NoStream:
    """A reply that is already over."""

    headers = ((b"content-type", b"application/json"), (b"x-ratelimit-limit-requests", b"500"))

    async def read(self) -> list[Event]:
        return []

    async def each(self, take: Callable[[list[Event]], bool]) -> None:
        take([])

    def nudge(self) -> None:
        pass

    def abort(self) -> None:
        pass


class NoOutlet:
    def whole(self, status: int, headers: object, body: bytes) -> None:
        pass

    def begin(self, status: int, headers: object) -> None:
        pass

    def more(self, _data: bytes) -> bool:
        return True

    def end(self, data: bytes) -> None:
        pass

    def cut(self) -> None:
        pass

    async def flush(self) -> None:
        pass


class Clock:
    monotonic_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)


def measure(step: Callable[[], object]) -> float:
    """Return the CPU time of one turn in microseconds."""
    rounds = []
    for _ in range(ROUNDS):
        gc.collect()
        begun = time.process_time_ns()
        for _ in range(TURNS):
            step()
        rounds.append((time.process_time_ns() - begun) / TURNS / 1_000)
    return statistics.median(rounds)


def _logged(log: LogTelemetry, settlement: Settlement) -> None:
    """Log one line and forget it: a full queue would drop lines, which costs nothing."""
    log.call_settled(settlement)
    log._lines.clear()  # noqa: SLF001 - nobody but a measurement wants to forget


class Governed:
    """A call with everything on: three budgets, four rates and two places at once."""

    def __init__(self, request: Request, deployment: Deployment) -> None:
        kinds = (ScopeKind.KEY, ScopeKind.TEAM, ScopeKind.ORGANIZATION)
        self._accounts = Accounts(
            Budget(id=BudgetId(kind), scope=Scope(kind=kind), unit=Unit.USD, limit=10**18, window=WINDOW)
            for kind in kinds
        )
        self._path = [(BudgetId(kind), "load") for kind in kinds]
        self._rates, self._permits, self._estimates = governance_rates(), Permits(), OutputEstimates()
        self._limits = tuple(
            RateLimit(
                id=f"{scope}/{unit.name}", scope_kind=scope, scope_value="load", unit=unit, limit=10**9, period_ns=10**9
            )
            for scope in ("key", "team")
            for unit in (RateUnit.REQUESTS, RateUnit.TOKENS)
        )
        self._places = tuple(
            ConcurrencyLimit(id=scope, scope_kind=scope, scope_value="load", limit=10**6) for scope in ("key", "team")
        )
        self._request, self._deployment = request, deployment
        self._number = 0

    def size(self) -> Sized:
        sized = size_call(
            self._request,
            self._deployment,
            room=Room(usd=10**15),
            terms=TERMS,
            estimate=None,
            duration_ns_max=10**9,
        )
        assert isinstance(sized, Sized)
        return sized

    def limit(self) -> None:
        """Take and give back, and learn what the reply took."""
        self._rates.charge(self._limits, COSTS, 1)
        permit = self._permits.acquire(self._places)
        assert isinstance(permit, Permit)
        permit.release()
        self._rates.correct(self._limits, COSTS, NOTHING, 1)
        self._estimates.learn(KIND, 180)

    def hold(self) -> None:
        """See what there is room for, hold, and post."""
        self._number += 1
        room_of(self._accounts, self._path, 1)
        self._accounts.reserve(self._number, self._accounts.path(self._path), AMOUNTS, 1)
        self._accounts.post(self._number, AMOUNTS)


def main() -> None:
    timeouts = Timeouts(connect_ns=1, stream_first_event_ns=1, stream_idle_ns=1, total_ns=1)
    deployment = Deployment(
        id=DeploymentId("mock/mock-model"),
        provider=ProviderId("mock"),
        upstream_model="mock-model",
        price=PriceCard(version="bench", base=RATES),
    )
    digest = hashlib.sha256(KEY.encode()).digest()
    principal = Principal(key_id=KeyId("bench"), organization="acme", team="load", models=("*",))
    balanced, translated = Balanced(), Translated(BODY)
    model = Model(name=ModelName("bench"), deployments=(deployment,))
    eight = Model(name=ModelName("eight"), deployments=tuple(balanced.deployments))
    snapshot = Snapshot(
        revision=1,
        fingerprint="f",
        providers={ProviderId("mock"): Provider(id=ProviderId("mock"), kind=ProviderKind.SCRIPTED, timeouts=timeouts)},
        models={model.name: model, eight.name: eight},
        keys={digest: KeyEntry(sha256=digest, principal=principal)},
        created_s=0,
    )
    metadata = read_metadata(HEADERS)
    assert isinstance(metadata, Metadata)
    request = read_request(CHAT, BODY)
    of_eight = read_request(CHAT, BODY.replace(b'"bench"', b'"eight"'))
    assert isinstance(request, Request)
    assert isinstance(of_eight, Request)
    prometheus = PrometheusTelemetry()
    log = LogTelemetry(io.BytesIO(), beside=prometheus)
    ledger = MemoryLedger(epoch=Epoch(1))
    gate = Gate(clock=Clock(), ledger=ledger, telemetry=prometheus)
    book = UpstreamLimitBook(Clock())
    recall = Recall(clock=Clock(), history=ledger)
    settler = Settler(clock=Clock(), ledger=ledger, gate=gate, telemetry=prometheus, book=book, recall=recall)
    governed = Governed(request, deployment)
    dispatched = Dispatched(deployment)
    planner = Planner(clock=Clock(), draw=Draw(), ledger=ledger, gate=gate, breakers=dispatched.breakers, book=book)

    def call(request: Request = request) -> Call:
        return Call(
            id=1,  # type: ignore[arg-type] # any number will do
            request_id="0" * 32,
            route="chat",
            principal=principal,
            request=request,
            labels=metadata.labels,
            named_user=None,
            named_priority=None,
            snapshot=snapshot,
            arrived_ns=1,
            arrived=1,
            timeout_ns=None,
            retries=0,
            traceparent=None,
            passed_headers=(),
            settle=settler,
        )

    served = call()
    among_eight = call(of_eight)
    plan = planner.plan(among_eight)
    assert isinstance(plan, RoutePlan)
    among_eight.plan = plan
    planner.sent(among_eight, plan.candidates[0], time.monotonic_ns())
    turn_20 = call(balanced.turn_20("eight"))
    turn_20.plan = planner.plan(turn_20)  # type: ignore[assignment] # nothing is refused
    planner.sent(turn_20, plan.candidates[0], time.monotonic_ns())
    attempt = Attempt(
        1,
        deployment,
        passage=dispatched.enter(),
        load=planner.loads.started(deployment.target, 500, 1),
        card=deployment.price,
        started_ns=1,
        begun=1,
    )
    meter = ChatMeter(wants_usage=False)
    attempt.flight = Flight(NoStream(), meter)
    meter.take([Event(EventKind.COMPLETE, REPLY)])
    attempt.first_token = 2
    served.attempts.append(attempt)
    served.outcome = Outcome.COMPLETED
    settlement = served.settlement = settlement_of(served, 3)
    chunk = [Event(EventKind.CHUNK, CHUNK)]
    streaming = ChatMeter(wants_usage=False)
    splitter, named = SseSplitter(), SseSplitter(named_events=True)
    named.feed(NAMED_CHUNK)  # the first event of a stream is looked at more closely
    headers = attempt.flight.headers

    steps: list[tuple[str, Callable[[], object]]] = [
        ("decode: headers", lambda: read_metadata(HEADERS)),
        ("decode: body", lambda: read_request(CHAT, BODY)),
        ("authenticate", lambda: authenticate(KEY, snapshot=snapshot, wall_ns=1, local=True)),
        ("make the call", call),
        ("plan: 1 deployment", lambda: planner.plan(served)),
        ("plan: 8 deployments by weight, in a conversation", lambda: planner.plan(among_eight)),
        ("plan: the same, turn 20 of 48 KB", lambda: planner.plan(turn_20)),
        *((f"balance: rank 8 by {each}", partial(balanced.rank, each)) for each in Strategy),
        ("balance: count a call, its first token, its end", balanced.load),
        ("balance: name 24 blocks of a prompt", balanced.chain),
        ("balance: remember 24 blocks", balanced.remember),
        ("balance: tell a conversation of 40 messages, 48 KB", balanced.converse),
        ("balance: keep it where it is", balanced.stay),
        ("balance: adapt a limit", balanced.adapt),
        ("admit: size the call", governed.size),
        ("admit: 4 rates, 2 places, taken and given back", governed.limit),
        ("admit: hold and post in 3 accounts", governed.hold),
        ("dispatch: set the machine up and begin", dispatched.begin),
        ("dispatch: through a breaker", dispatched.pass_through),
        ("dispatch: write the upstream's body", lambda: upstream_body(request, "mock-model")),
        ("translate: a chat request into Messages", translated.ask),
        ("translate: a reply of Messages into chat", translated.answer),
        ("translate: one event of Messages into chat", translated.stream),
        ("relay: meter a unary reply", lambda: ChatMeter(wants_usage=False).take([Event(EventKind.COMPLETE, REPLY)])),
        ("settle: price and row", lambda: settlement_of(served, 3)),
        ("settle: metrics", lambda: prometheus.call_settled(settlement)),
        ("settle: log line", lambda: _logged(log, settlement)),
        ("encode: headers of the reply", lambda: ReplyWriter(NoOutlet(), served, CHAT_VOICE).unary(REPLY, headers)),
        ("stream: split one event", lambda: splitter.feed(CHUNK)),
        ("stream: split one event with a name", lambda: named.feed(NAMED_CHUNK)),
        ("stream: meter one event", lambda: streaming.take(chunk)),
    ]
    print(f"{'step':51} {'µs CPU':>8}")
    for name, step in steps:
        print(f"{name:51} {measure(step):8.2f}")
    log.close()


if __name__ == "__main__":
    main()
