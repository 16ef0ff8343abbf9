"""Measure what each step of a request costs in CPU time, alone and without a network: `make bench` prints the table.

Figures are medians of several rounds of `time.process_time`; quote ratios, as machines differ. The whole of a request,
sockets included, is measured from outside by load, beside other gateways (docs/performance.md).
"""

import gc
import hashlib
import io
import statistics
import time
from collections.abc import Callable, Coroutine
from typing import Final

from router.adapters.ledger_memory import MemoryLedger
from router.adapters.telemetry_log import LogTelemetry
from router.adapters.telemetry_prometheus import PrometheusTelemetry
from router.adapters.upstreams.sse import SseSplitter
from router.domain.catalog import Deployment, Model, Provider, ProviderKind, Snapshot, Timeouts
from router.domain.chat import ChatRequest, read_chat_request, upstream_body
from router.domain.ids import DeploymentId, Epoch, KeyId, ModelName, ProviderId
from router.domain.metadata import Metadata, read_metadata
from router.domain.metering import Meter
from router.domain.planning.plan import plan_route
from router.domain.pricing import PriceCard, Rates
from router.domain.principal import KeyEntry, Principal
from router.domain.settlement import Outcome, Settlement
from router.domain.stream import Event, EventKind
from router.facades.http.reply_writer import ReplyWriter
from router.pipeline.attempt import Attempt
from router.pipeline.authenticate import authenticate
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from router.pipeline.settle import Settler, settlement_of

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


class NoStream:
    """A reply that is already over."""

    headers = ((b"content-type", b"application/json"), (b"x-ratelimit-limit-requests", b"500"))

    async def read(self) -> list[Event]:
        return []

    def nudge(self) -> None:
        pass

    def abort(self) -> None:
        pass


class NoOutlet:
    async def whole(self, status: int, headers: object, body: bytes) -> None:
        pass

    async def begin(self, status: int, headers: object) -> None:
        pass

    async def more(self, data: bytes) -> None:
        pass

    async def end(self, data: bytes) -> None:
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


def run(coroutine: Coroutine[object, object, object]) -> None:
    """Drive a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("the step waited for something")


def main() -> None:
    timeouts = Timeouts(connect_ns=1, stream_first_event_ns=1, stream_idle_ns=1, total_ns=1)
    rates = Rates(input=2_000_000_000, cached_input=200_000_000, cache_write=2_000_000_000, output=10_000_000_000)
    deployment = Deployment(
        id=DeploymentId("mock/mock-model"),
        provider=ProviderId("mock"),
        upstream_model="mock-model",
        price=PriceCard(version="bench", base=rates),
    )
    digest = hashlib.sha256(KEY.encode()).digest()
    principal = Principal(key_id=KeyId("bench"), organization="acme", team="load", models=("*",))
    model = Model(name=ModelName("bench"), deployments=(deployment,))
    snapshot = Snapshot(
        revision=1,
        fingerprint="f",
        providers={ProviderId("mock"): Provider(id=ProviderId("mock"), kind=ProviderKind.SCRIPTED, timeouts=timeouts)},
        models={model.name: model},
        keys={digest: KeyEntry(sha256=digest, principal=principal)},
        created_s=0,
    )
    metadata = read_metadata(HEADERS)
    assert isinstance(metadata, Metadata)
    request = read_chat_request(BODY)
    assert isinstance(request, ChatRequest)
    prometheus = PrometheusTelemetry()
    log = LogTelemetry(io.BytesIO(), beside=prometheus)
    settler = Settler(clock=Clock(), ledger=MemoryLedger(epoch=Epoch(1)), telemetry=prometheus)

    def call() -> Call:
        return Call(
            id=1,  # type: ignore[arg-type] # any number will do
            request_id="0" * 32,
            route="chat",
            principal=principal,
            request=request,
            labels=metadata.labels,
            snapshot=snapshot,
            arrived_ns=1,
            arrived=1,
            timeout_ns=None,
            traceparent=None,
            settle=settler,
        )

    served = call()
    attempt = Attempt(1, deployment, started_ns=1, begun=1)
    meter = Meter(wants_usage=False)
    attempt.flight = Flight(NoStream(), meter)
    meter.take([Event(EventKind.COMPLETE, REPLY)])
    attempt.token_seen(2)
    served.attempts.append(attempt)
    served.outcome = Outcome.COMPLETED
    settlement = served.settlement = settlement_of(served, 3)
    chunk = [Event(EventKind.CHUNK, CHUNK)]
    streaming = Meter(wants_usage=False)
    splitter = SseSplitter()
    headers = attempt.flight.headers

    steps: list[tuple[str, Callable[[], object]]] = [
        ("decode: headers", lambda: read_metadata(HEADERS)),
        ("decode: body", lambda: read_chat_request(BODY)),
        ("authenticate", lambda: authenticate(KEY, snapshot=snapshot, wall_ns=1, local=True)),
        ("make the call", call),
        ("plan", lambda: plan_route("bench", principal, snapshot)),
        ("dispatch: write the upstream's body", lambda: upstream_body(request, "mock-model")),
        ("relay: meter a unary reply", lambda: Meter(wants_usage=False).take([Event(EventKind.COMPLETE, REPLY)])),
        ("settle: price and row", lambda: settlement_of(served, 3)),
        ("settle: metrics", lambda: prometheus.call_settled(settlement)),
        ("settle: log line", lambda: _logged(log, settlement)),
        ("encode: headers of the reply", lambda: run(ReplyWriter(NoOutlet(), served).unary(REPLY, headers))),
        ("stream: split one event", lambda: splitter.feed(CHUNK)),
        ("stream: meter one event", lambda: streaming.take(chunk)),
    ]
    print(f"{'step':40} {'µs CPU':>8}")
    for name, step in steps:
        print(f"{name:40} {measure(step):8.2f}")
    log.close()


if __name__ == "__main__":
    main()
