"""What would become of a chat over gRPC is what HTTP says of it; tokens are counted by whom HTTP has count them."""

from typing import Any

import grpc
import pytest
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.routing_pb2 import (
    CountTokensRequest,
    CountTokensResponse,
    ExplainRouteRequest,
    ExplainRouteResponse,
    RouteCandidate,
    RouteDropped,
    RouteFallbacks,
    RoutePolicy,
    RouteRefusal,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.facades.grpc import routing
from router.facades.grpc.routing import routing_service
from router.facades.http.explain import CandidateView, DroppedView, PolicyView, RefusalView, RouteView
from tests.support.asides import FedAsides
from tests.support.grpc_stage import KEY, GrpcStage, speaking
from tests.support.rpcs import Ended, FakeRpc, ask

EXPLAIN = "/checkrein.v1.RoutingService/ExplainRoute"
COUNT = "/checkrein.v1.RoutingService/CountTokens"
CHAT = b'{"model":"small","messages":[]}'
MESSAGES = b'{"model":"small","messages":[{"role":"user","content":"hi"}]}'
VIEW = RouteView(
    asked_model="a",
    model="b",
    strategy="s",
    substituted="a->b;c",
    priority="batch",
    priority_lowered=True,
    target="t",
    admitted=True,
    observed=True,
    home="h",
    candidates=[
        CandidateView(
            target="t",
            deployment="d",
            provider="p",
            upstream_model="u",
            tier=2,
            figure="price",
            value=0.0,
            ceiling_nano_usd=0,
            held_nano_usd=5,
            spared=True,
            max_tokens=7,
            admitted=True,
            policies=[
                PolicyView(policy="rate", id="l", refusal=None, observed=True),
                PolicyView(
                    policy="budget",
                    id="b",
                    refusal=RefusalView(fault="budget_exhausted", message="m", retry_after_ms=1_500),
                    observed=False,
                ),
            ],
        )
    ],
    dropped=[
        DroppedView(target="x", reason="capability", detail="tools", until_ms=None),
        DroppedView(target="y", reason="context_window", detail=8_000, until_ms=None),
        DroppedView(target="z", reason="resting", detail=None, until_ms=1_700_000_000_250),
    ],
    fallbacks={"any": ["m1", "m2"], "context": [], "policy": ["m3"]},
)


class Stage(GrpcStage):
    def __init__(self) -> None:
        super().__init__(speaking("small", dialects=frozenset({Dialect.MESSAGES, Dialect.CHAT})))
        self.asides = FedAsides()
        self.asides.answer = b'{"input_tokens":7,"x":1}'

    async def explain(self, request: ExplainRouteRequest) -> ExplainRouteResponse:
        services = routing_service(self.border, self.pipeline, self.asides)
        return await ask(services, EXPLAIN, FakeRpc(request, key=KEY), ExplainRouteResponse)

    async def count(self, body: bytes = MESSAGES, **metadata: str) -> CountTokensResponse:
        services = routing_service(self.border, self.pipeline, self.asides)
        rpc = FakeRpc(CountTokensRequest(messages_json=body), key=KEY, **metadata)
        return await ask(services, COUNT, rpc, CountTokensResponse)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_every_member_of_the_view_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "view_route", lambda _found: VIEW)
    said = await stage.explain(ExplainRouteRequest(chat_json=CHAT))

    assert said == ExplainRouteResponse(
        asked_model="a",
        model="b",
        strategy="s",
        substituted="a->b;c",
        priority="batch",
        priority_lowered=True,
        target="t",
        admitted=True,
        observed=True,
        home="h",
        candidates=[
            RouteCandidate(
                target="t",
                deployment="d",
                provider="p",
                upstream_model="u",
                tier=2,
                figure="price",
                value=0.0,
                ceiling_nano_usd=0,
                held_nano_usd=5,
                spared=True,
                max_tokens=7,
                admitted=True,
                policies=[
                    RoutePolicy(policy="rate", id="l", observed=True),
                    RoutePolicy(
                        policy="budget",
                        id="b",
                        refusal=RouteRefusal(
                            reason="BUDGET_EXHAUSTED",
                            message="m",
                            retry_after=Duration(seconds=1, nanos=500_000_000),
                        ),
                    ),
                ],
            )
        ],
        dropped=[
            RouteDropped(target="x", reason="capability", detail="tools"),
            RouteDropped(target="y", reason="context_window", context_window=8_000),
            RouteDropped(target="z", reason="resting", until=Timestamp(seconds=1_700_000_000, nanos=250_000_000)),
        ],
        fallbacks=[RouteFallbacks(after="any", models=["m1", "m2"]), RouteFallbacks(after="policy", models=["m3"])],
    )
    messages: list[Any] = [said, said.candidates[0], said.candidates[0].policies[1].refusal]
    for message in messages:
        assert {field.name for field in message.DESCRIPTOR.fields} == {field.name for field, _ in message.ListFields()}


@pytest.mark.parametrize("body", [CHAT, CHAT[:-1] + b',"stream":true}'])
async def test_nothing_is_sent_to_say_it(stage: Stage, body: bytes) -> None:
    said = await stage.explain(ExplainRouteRequest(chat_json=body))

    assert ("small", "up/model", True) == (said.model, said.target, said.admitted)
    assert ([], [], {}) == (stage.rig.upstreams.requests, stage.rig.telemetry.settled, stage.pipeline.open_calls)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ExplainRouteRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        (ExplainRouteRequest(chat_json=b"{"), grpc.StatusCode.INVALID_ARGUMENT),
        (ExplainRouteRequest(chat=ChatCompletionRequest()), grpc.StatusCode.INVALID_ARGUMENT),
        (ExplainRouteRequest(chat_json=CHAT.replace(b"small", b"none")), grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_what_could_never_be_planned_is_refused(
    stage: Stage, request_: ExplainRouteRequest, code: grpc.StatusCode
) -> None:
    with pytest.raises(Ended) as ended:
        await stage.explain(request_)

    assert code is ended.value.code
    assert 1 == len(stage.rig.telemetry.rejected)


async def test_a_provider_counts_with_the_headers_that_are_part_of_its_requests(stage: Stage) -> None:
    said = await stage.count(anthropic_beta="b", x_other="o")

    assert CountTokensResponse(input_tokens=7, deployment="up/model") == said
    assert {b"x-request-id", b"anthropic-beta"} == {name for name, _ in stage.asides.asked[0].headers}


async def test_an_estimate_says_that_it_is_one(stage: Stage) -> None:
    stage.asides.answer = Failure(kind=FailureKind.CONNECT, message="m")

    assert CountTokensResponse(input_tokens=8, estimated=True) == await stage.count()


@pytest.mark.parametrize(
    "answer", [b"{}", b'{"input_tokens":-1}', b'{"input_tokens":1.5}', b'{"input_tokens":%d}' % 2**64]
)
async def test_a_count_that_is_none_is_the_providers_fault(stage: Stage, answer: bytes) -> None:
    stage.asides.answer = answer
    with pytest.raises(Ended) as ended:
        await stage.count()

    assert (grpc.StatusCode.UNAVAILABLE, "UPSTREAM_ERROR") == (ended.value.code, ended.value.info.reason)


@pytest.mark.parametrize("body", [b"", b"{", MESSAGES[:-1] + b',"stream":true}'])
async def test_what_cannot_be_counted_is_an_invalid_argument(stage: Stage, body: bytes) -> None:
    with pytest.raises(Ended) as ended:
        await stage.count(body)

    assert grpc.StatusCode.INVALID_ARGUMENT is ended.value.code
