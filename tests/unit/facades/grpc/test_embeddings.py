"""Embeddings over gRPC: the provider's bytes, and what they used; errors as everywhere."""

import json
from typing import Any

import grpc
import pytest
from checkrein.v1.common_pb2 import Cost, Usage
from checkrein.v1.embeddings_pb2 import CreateEmbeddingsRequest, CreateEmbeddingsResponse, EmbeddingsRequest

from router.domain.dialects.dialect import Dialect
from router.domain.settlement import Outcome
from router.domain.stream import Event, EventKind
from router.facades.grpc.embeddings import embeddings_service
from tests.support.grpc_stage import KEY, GrpcStage, speaking
from tests.support.rpcs import Ended, FakeRpc, ask

CREATE = "/checkrein.v1.EmbeddingsService/CreateEmbeddings"
REPLY = b'{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}'


def asked(**members: Any) -> CreateEmbeddingsRequest:
    return CreateEmbeddingsRequest(embeddings_json=json.dumps({"model": "small", "input": "a", **members}).encode())


async def told(stage: GrpcStage, request: CreateEmbeddingsRequest) -> CreateEmbeddingsResponse:
    services = embeddings_service(stage.border)
    return await ask(services, CREATE, FakeRpc(request, key=KEY), CreateEmbeddingsResponse)


async def test_the_reply_is_the_providers_own() -> None:
    stage = GrpcStage(speaking("small", dialects=frozenset({Dialect.EMBEDDINGS})))
    stage.rig.upstream().feed(Event(EventKind.COMPLETE, REPLY))
    said = await told(stage, asked(x_future=None))
    (sent,) = stage.rig.upstreams.requests
    (settled,) = stage.rig.telemetry.settled

    assert (REPLY, Usage(input_tokens=3)) == (said.reply_json, said.usage)
    assert Cost(total_nano_usd=settled.cost_nano_usd, price_version=settled.price_version) == said.cost
    assert ("up/model", 1) == (said.served.deployment, said.served.attempts)
    assert {"model": "model", "input": "a", "x_future": None} == json.loads(sent.body)
    assert ("embeddings", Outcome.COMPLETED) == (settled.route, settled.outcome)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (CreateEmbeddingsRequest(), "embeddings"),
        (CreateEmbeddingsRequest(embeddings=EmbeddingsRequest(text="a")), "model"),
        (CreateEmbeddingsRequest(embeddings_json=b"{"), ""),
        (asked(stream=True), "stream"),
        (asked(model=7), "model"),
    ],
)
async def test_what_cannot_be_read_is_an_invalid_argument(request_: CreateEmbeddingsRequest, param: str) -> None:
    stage = GrpcStage()
    with pytest.raises(Ended) as ended:
        await told(stage, request_)

    assert (grpc.StatusCode.INVALID_ARGUMENT, param) == (ended.value.code, ended.value.info.metadata["param"])
    assert ["invalid_request"] == stage.rig.telemetry.rejected
