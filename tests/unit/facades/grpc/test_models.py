"""Models over gRPC: those of the key, each with what HTTP says of it, and an error for any other."""

import grpc
import pytest
from checkrein.v1.models_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)

from router.facades.grpc.models import models_service
from tests.support.grpc_stage import KEY, NARROW, GrpcStage
from tests.support.rpcs import Ended, FakeRpc, ask

LIST = "/checkrein.v1.ModelsService/ListModels"
GET = "/checkrein.v1.ModelsService/GetModel"
SMALL = Model(id="small", owned_by="up", created=1_800_000_000, display_name="small", lifecycle="active")


def served() -> grpc.GenericRpcHandler:
    stage = GrpcStage()
    return models_service(stage.border, stage.pipeline)


async def test_a_key_sees_its_models_by_name() -> None:
    everything = await ask(served(), LIST, FakeRpc(ListModelsRequest(), key=KEY), ListModelsResponse)
    one = await ask(served(), LIST, FakeRpc(ListModelsRequest(), key=NARROW), ListModelsResponse)

    assert ["hidden", "small"] == [model.id for model in everything.models]
    assert [SMALL] == list(one.models)


async def test_one_model_is_as_it_is_among_all() -> None:
    said = await ask(served(), GET, FakeRpc(GetModelRequest(id="small"), key=NARROW), GetModelResponse)

    assert GetModelResponse(model=SMALL) == said


@pytest.mark.parametrize(
    ("name", "code", "param"),
    [
        ("hidden", grpc.StatusCode.NOT_FOUND, "model"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "id"),
    ],
)
async def test_what_it_may_not_see_is_not_there(name: str, code: grpc.StatusCode, param: str) -> None:
    with pytest.raises(Ended) as ended:
        await ask(served(), GET, FakeRpc(GetModelRequest(id=name), key=NARROW), GetModelResponse)

    assert (code, param) == (ended.value.code, ended.value.info.metadata["param"])


async def test_nobody_sees_any() -> None:
    with pytest.raises(Ended) as ended:
        await ask(served(), LIST, FakeRpc(ListModelsRequest(), key="sk-nobody"), ListModelsResponse)

    assert grpc.StatusCode.UNAUTHENTICATED is ended.value.code
