"""Serve `CallsService`: what the ledger holds of a call."""

import grpc
from checkrein.v1.calls_pb2 import GetCallRequest, GetCallResponse

from router.domain.faults import Fault, refuse
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.recorded import call_of
from router.pipeline.open import Pipeline
from router.pipeline.shown import call_for


def calls_service(border: Border, pipeline: Pipeline) -> grpc.ServiceRpcHandler:
    async def get_call(request: GetCallRequest, asking: Asking) -> GetCallResponse:
        if not request.id:
            raise refuse(Fault.INVALID_REQUEST, "Name a call in `id`, as `Served.call_id` does.", param="id")
        return GetCallResponse(call=call_of(await call_for(asking.principal, pipeline.ledger, request.id)))

    return service("checkrein.v1.CallsService", {"GetCall": border.unary(GetCallRequest, get_call)})
