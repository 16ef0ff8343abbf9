"""Serve `ModelsService`: which models the calling key may use."""

import grpc
from checkrein.v1.models_pb2 import (
    GetModelRequest,
    GetModelResponse,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)

from router.domain.faults import Fault, refuse
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.pipeline.open import Pipeline
from router.pipeline.shown import ShownModel, model_for, models_for


def models_service(border: Border, pipeline: Pipeline) -> grpc.ServiceRpcHandler:
    async def list_models(_request: ListModelsRequest, asking: Asking) -> ListModelsResponse:
        return ListModelsResponse(models=[_model(one) for one in models_for(asking.principal, pipeline.snapshot)])

    async def get_model(request: GetModelRequest, asking: Asking) -> GetModelResponse:
        if not request.id:
            raise refuse(Fault.INVALID_REQUEST, "Name a model in `id`. ListModels has them all.", param="id")
        return GetModelResponse(model=_model(model_for(asking.principal, pipeline.snapshot, request.id)))

    return service(
        "checkrein.v1.ModelsService",
        {
            "ListModels": border.unary(ListModelsRequest, list_models),
            "GetModel": border.unary(GetModelRequest, get_model),
        },
    )


def _model(model: ShownModel) -> Model:
    return Model(
        id=model.name,
        owned_by=",".join(model.owners),
        created=model.created_s,
        display_name=model.name,
        lifecycle="active",
    )
