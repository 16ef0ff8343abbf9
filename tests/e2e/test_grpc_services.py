"""What gRPC's services say over sockets is what HTTP says to the same request, field by field."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from checkrein.v1 import (
    calls_pb2,
    calls_pb2_grpc,
    common_pb2,
    embeddings_pb2,
    embeddings_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
    workflow_pb2,
    workflow_pb2_grpc,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import fake_upstream as fake
from tests.support.dialects import whole
from tests.support.fake_upstream import Reply
from tests.support.forwarding import bearer, channel_to
from tests.support.pool import RICH, Pool, at, pool, served_by
from tests.support.running import ADMIN, KEY, chat

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

NARROW = "sk-narrow-key"
VECTORS = {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 3}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    keys = [
        {"name": "test", "key": KEY, "models": ["*"], "budget": RICH},
        {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        {
            "name": "narrow",
            "key": NARROW,
            "models": ["small", "claude"],
            "budget": {"limit_usd": 0.000001, "window": "lifetime"},
            "limits": {"rpm": 100, "concurrency": 3},
        },
    ]
    models = [
        served_by("small", at("a", tier=1, context_window=100, max_output_tokens=50), at("b", tier=2)),
        served_by("claude", at("m", name="claude", model="claude-x"), fallbacks=["small"]),
        served_by("embedder", at("a", model="embedder", price={"input": 2.0, "output": 10.0})),
    ]
    async with pool(
        tmp_path_factory.mktemp("router"),
        "a",
        "b",
        "m",
        models=models,
        keys=keys,
        members={"a": {"dialects": ["chat", "embeddings"]}, "m": {"kind": "anthropic"}},
    ) as providers:
        yield providers


@pytest_asyncio.fixture(loop_scope="module")
async def live(running: Pool) -> Pool:
    await running.router.idle()
    return running.start_over()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(running: Pool) -> AsyncIterator[grpc.aio.Channel]:
    async with channel_to(running.router) as one:
        yield one


def stub(kind: Any, channel: grpc.aio.Channel) -> Any:
    return kind(channel)


def raw(body: object) -> bytes:
    return json.dumps(body).encode()


async def over_http(live: Pool, path: str, body: object = None, key: str = KEY, status: int = 200) -> Any:
    async with live.router.client(key) as client:
        headers = {"content-type": "application/json"}
        reply = await (client.get(path) if body is None else client.post(path, content=raw(body), headers=headers))
    assert status == reply.status_code, reply.text
    return reply.json()


def optional(message: Any, name: str) -> Any:
    """Return a field, or None where it is absent."""
    return getattr(message, name) if message.HasField(name) else None


def unix_ms(moment: Timestamp) -> int:
    return moment.ToNanoseconds() // 10**6


def in_ms(span: Duration | None) -> float | None:
    return None if span is None else span.ToNanoseconds() / 10**6


def fault_of(reason: str | None) -> str | None:
    return None if reason is None else reason.lower()


@pytest.mark.parametrize("key", [KEY, NARROW])
async def test_models_are_those_of_http(live: Pool, channel: grpc.aio.Channel, key: str) -> None:
    models = stub(models_pb2_grpc.ModelsServiceStub, channel)
    by_http = (await over_http(live, "/v1/models", key=key))["data"]
    said = (await models.ListModels(models_pb2.ListModelsRequest(), metadata=bearer(key))).models
    fields = [field.name for field in models_pb2.Model.DESCRIPTOR.fields]

    assert [{name: one[name] for name in fields} for one in by_http] == [
        {name: getattr(one, name) for name in fields} for one in said
    ]
    for one in said:
        request = models_pb2.GetModelRequest(id=one.id)
        assert one == (await models.GetModel(request, metadata=bearer(key))).model


def as_http_says(call: calls_pb2.Call) -> dict[str, object]:
    """Write a call as HTTP does."""
    return {
        "object": "call",
        **{name: getattr(call, name) for name in ("id", "request_id", "key_id", "asked_model", "outcome")},
        **{
            name: optional(call, name)
            for name in ("organization", "team", "user", "workflow_id", "parent_call_id", "agent", "route", "stream",
                         "served_deployment", "served_model", "priority", "substituted")
        },
        "tags": ",".join(call.tags) or None,
        "started_at_ms": unix_ms(call.start_time),
        "duration_ms": in_ms(optional(call, "duration")),
        "first_token_ms": in_ms(optional(call, "first_token")),
        "fault": fault_of(optional(call, "reason")),
        "input_tokens": call.usage.input_tokens,
        "cached_input_tokens": call.usage.cached_input_tokens,
        "cache_write_tokens": call.usage.cache_write_tokens,
        "output_tokens": call.usage.output_tokens,
        "reasoning_tokens": call.usage.reasoning_tokens,
        "usage_estimated": call.usage.estimated,
        "cost_nano_usd": optional(call.cost, "total_nano_usd"),
        "price_version": optional(call.cost, "price_version"),
        "decision": None if not call.HasField("decision_json") else json.loads(call.decision_json),
        "attempts": [
            {
                **{name: getattr(one, name) for name in ("number", "deployment", "provider", "upstream_model")},
                "started_at_ms": unix_ms(one.start_time),
                "duration_ms": in_ms(one.duration),
                "first_token_ms": in_ms(optional(one, "first_token")),
                "fault": fault_of(optional(one, "reason")),
                "upstream_status": optional(one, "upstream_status"),
                "input_tokens": one.usage.input_tokens,
                "output_tokens": one.usage.output_tokens,
                "cost_nano_usd": optional(one.cost, "total_nano_usd"),
            }
            for one in call.attempts
        ],
    }  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
async def test_a_call_is_what_http_says_of_it(live: Pool, channel: grpc.aio.Channel, *, fails: bool) -> None:
    live.script(m=fake.error(500))
    if fails:
        live.script(a=fake.error(500), b=fake.error(500))
    asked = chat(model="claude", stream=not fails, max_tokens=20)
    answer = await live.ask(asked, "x-checkrein-agent: ag", "x-checkrein-tags: one,two", "x-checkrein-workflow: w")
    await live.router.idle()
    by_http = await over_http(live, f"/checkrein/v1/calls/{answer.call_id}")
    calls = stub(calls_pb2_grpc.CallsServiceStub, channel)
    request = calls_pb2.GetCallRequest(id=answer.call_id)

    for key in (KEY, ADMIN):
        assert by_http == as_http_says((await calls.GetCall(request, metadata=bearer(key))).call)
    assert ("failed" if fails else "completed") == by_http["outcome"]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await calls.GetCall(request, metadata=bearer(NARROW))
    assert grpc.StatusCode.NOT_FOUND is refused.value.code()
    told = await over_http(live, f"/checkrein/v1/calls/{answer.call_id}", key=NARROW, status=404)
    assert told["error"]["message"] == refused.value.details()


def route_as_http_says(route: routing_pb2.ExplainRouteResponse) -> dict[str, object]:
    """Write an explanation as HTTP does."""
    fallbacks: dict[str, list[str]] = {"any": [], "context": [], "policy": []}
    return {
        "object": "route",
        **{name: getattr(route, name) for name in ("asked_model", "model", "strategy", "priority", "priority_lowered")},
        **{name: getattr(route, name) for name in ("admitted", "observed")},
        **{name: optional(route, name) for name in ("substituted", "target", "home")},
        "candidates": [
            {
                **{name: getattr(one, name) for name in ("target", "deployment", "provider", "upstream_model", "tier",
                                                         "figure", "spared", "admitted")},
                **{name: optional(one, name) for name in ("value", "ceiling_nano_usd", "held_nano_usd", "max_tokens")},
                "policies": [
                    {
                        **{name: getattr(said, name) for name in ("policy", "id", "observed")},
                        "refusal": None
                        if not said.HasField("refusal")
                        else {
                            "fault": said.refusal.reason.lower(),
                            "message": said.refusal.message,
                            "retry_after_ms": in_ms(optional(said.refusal, "retry_after")),
                        },
                    }
                    for said in one.policies
                ],
            }
            for one in route.candidates
        ],
        "dropped": [
            {
                "target": one.target,
                "reason": one.reason,
                "detail": optional(one, "detail") or optional(one, "context_window"),
                "until_ms": unix_ms(one.until) if one.HasField("until") else None,
            }
            for one in route.dropped
        ],
        "fallbacks": fallbacks | {one.after: list(one.models) for one in route.fallbacks},
    }  # fmt: skip


@pytest.mark.parametrize("key", [KEY, NARROW])
@pytest.mark.parametrize(
    "asked",
    [
        chat(),
        chat(stream=True, max_tokens=5),
        chat(messages=[{"role": "user", "content": "word " * 200}]),
        chat(model="claude", max_tokens=7, tools=[{"type": "function", "function": {"name": "f"}}]),
    ],
)
async def test_a_route_is_explained_as_over_http(
    live: Pool, channel: grpc.aio.Channel, asked: dict[str, object], key: str
) -> None:
    routing = stub(routing_pb2_grpc.RoutingServiceStub, channel)
    by_http = await over_http(live, "/checkrein/v1/route/explain", asked, key=key)
    request = routing_pb2.ExplainRouteRequest(chat_json=raw(asked))

    assert by_http == route_as_http_says(await routing.ExplainRoute(request, metadata=bearer(key)))
    assert not live.asked
    assert (key == KEY, "word" in str(asked), asked["model"] == "claude") == (
        by_http["admitted"],
        ["context_window"] == [one["reason"] for one in by_http["dropped"]],
        bool(by_http["fallbacks"]["any"]),
    )


async def test_what_a_context_says_is_heard(live: Pool, channel: grpc.aio.Channel) -> None:
    routing = stub(routing_pb2_grpc.RoutingServiceStub, channel)
    request = routing_pb2.ExplainRouteRequest(chat_json=raw(chat()), context=common_pb2.CallContext(priority="batch"))

    assert "batch" == (await routing.ExplainRoute(request, metadata=bearer())).priority


async def test_tokens_are_counted_as_over_http(live: Pool, channel: grpc.aio.Channel) -> None:
    routing = stub(routing_pb2_grpc.RoutingServiceStub, channel)
    asked = {"model": "claude", "messages": [{"role": "user", "content": "hi"}]}
    request = routing_pb2.CountTokensRequest(messages_json=raw(asked))
    metadata = (*bearer(), ("anthropic-beta", "token-counting"))
    live.script(m=whole({"input_tokens": 2095}))
    counted = await routing.CountTokens(request, metadata=metadata)

    assert "token-counting" == live.upstreams["m"].requests[0].headers["anthropic-beta"]
    assert routing_pb2.CountTokensResponse(input_tokens=2095, deployment="claude") == counted
    assert {"input_tokens": 2095} == await over_http(live, "/v1/messages/count_tokens", asked)
    live.script(m=fake.error(404))
    estimate = await routing.CountTokens(request, metadata=bearer())
    by_http = await over_http(live, "/v1/messages/count_tokens", asked)
    assert routing_pb2.CountTokensResponse(input_tokens=by_http["input_tokens"], estimated=True) == estimate


async def test_embeddings_are_what_they_are_over_http(live: Pool, channel: grpc.aio.Channel) -> None:
    embeddings = stub(embeddings_pb2_grpc.EmbeddingsServiceStub, channel)
    live.script(a=Reply(steps=(json.dumps(VECTORS).encode(),)))
    asked = {"model": "embedder", "input": ["a", "b"], "x_future": None}
    by_http = await over_http(live, "/v1/embeddings", asked)
    request = embeddings_pb2.CreateEmbeddingsRequest(embeddings_json=raw(asked))
    said = await embeddings.CreateEmbeddings(request, metadata=bearer())
    await live.router.idle()
    first, second = live.router.rows()[live.earlier_rows :]

    assert by_http == json.loads(said.reply_json)
    one, other = [json.loads(request.body) for request in live.upstreams["a"].requests]
    assert one == other
    assert ("embeddings", first["cost_nano_usd"], 3) == (
        second["route"],
        said.cost.total_nano_usd,
        said.usage.input_tokens,
    )
    assert "a/embedder" == said.served.deployment


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"{", grpc.StatusCode.INVALID_ARGUMENT), (b'{"model":"none","input":"a"}', grpc.StatusCode.NOT_FOUND)],
)
async def test_embeddings_are_refused_with_http_s_words(
    live: Pool, channel: grpc.aio.Channel, body: bytes, code: grpc.StatusCode
) -> None:
    embeddings = stub(embeddings_pb2_grpc.EmbeddingsServiceStub, channel)
    async with live.router.client() as client:
        by_http = await client.post("/v1/embeddings", content=body, headers={"content-type": "application/json"})
    request = embeddings_pb2.CreateEmbeddingsRequest(embeddings_json=body)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await embeddings.CreateEmbeddings(request, metadata=bearer())

    assert (code, by_http.json()["error"]["message"]) == (refused.value.code(), refused.value.details())


async def test_what_is_not_there_yet_says_so(channel: grpc.aio.Channel) -> None:
    workflows = stub(workflow_pb2_grpc.WorkflowServiceStub, channel)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await workflows.GetWorkflow(workflow_pb2.GetWorkflowRequest(workflow_id="w"), metadata=bearer())

    assert grpc.StatusCode.UNIMPLEMENTED is refused.value.code()
    assert "not served yet" in (refused.value.details() or "")


@pytest.mark.parametrize("name", ["Chat", "Embeddings", "Models", "Routing", "Calls", "Passthrough"])
async def test_each_service_is_told_to_be_there(channel: grpc.aio.Channel, name: str) -> None:
    health = stub(health_pb2_grpc.HealthStub, channel)
    said = await health.Check(health_pb2.HealthCheckRequest(service=f"checkrein.v1.{name}Service"))

    assert health_pb2.HealthCheckResponse.SERVING == said.status
