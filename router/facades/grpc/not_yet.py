"""Answer for the services that are described and not built: to whoever has a key, that they are not there yet."""

from typing import Final, Never

import grpc
from checkrein.v1 import approvals_pb2, events_pb2, workflow_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from router.domain.faults import Fault, refuse
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, Method, service

_FILES: Final = (workflow_pb2.DESCRIPTOR, approvals_pb2.DESCRIPTOR, events_pb2.DESCRIPTOR)


def not_yet_services(border: Border) -> list[grpc.ServiceRpcHandler]:
    """Make them all from their descriptors, so that a new method needs no line here."""
    return [_service(border, one) for file in _FILES for one in file.services_by_name.values()]


def _service(border: Border, described: ServiceDescriptor) -> grpc.ServiceRpcHandler:
    return service(described.full_name, {method.name: _method(border, method) for method in described.methods})


def _method(border: Border, described: MethodDescriptor) -> Method:
    message = f"{described.full_name} is not served yet: this version of the router has only its description."

    async def refuse_it(_request: Message, _asking: Asking) -> Never:
        raise refuse(Fault.ROUTE_NOT_FOUND, message)

    asked = GetMessageClass(described.input_type)
    return border.stream(asked, refuse_it) if described.server_streaming else border.unary(asked, refuse_it)
