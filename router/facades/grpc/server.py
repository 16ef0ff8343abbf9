"""Build the gRPC server: its services, health and reflection, its bounds, its certificate."""

from asyncio import TaskGroup
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from router.admin.administration import Administration
from router.domain.instants import NS_PER_MS
from router.facades.grpc.admin.services import admin_services
from router.facades.grpc.border import Border, service
from router.facades.grpc.calls import calls_service
from router.facades.grpc.chat import chat_service
from router.facades.grpc.embeddings import embeddings_service
from router.facades.grpc.forward import passthrough_service
from router.facades.grpc.limits import GrpcLimits
from router.facades.grpc.models import models_service
from router.facades.grpc.not_yet import not_yet_services
from router.facades.grpc.routing import routing_service
from router.facades.http.asgi import App
from router.facades.http.limits import HttpLimits
from router.facades.tls import Tls
from router.pipeline.open import Pipeline
from router.ports.aside import Asides

_STREAMS_MAX: Final = 10_000
"""At once on one connection."""
_METADATA_BYTES_MAX: Final = 32 * 1024
_SERVERS: Final = 8
"""On the one port, which give its connections to each of them by turns.

A server of grpcio takes one call out of its queue, in four turns of the loop, before it asks for the next. With one
alone the loop turned four times for each call, and met every step of the pipeline with cold caches.
"""


class GrpcServer:
    """A server that is bound and not started. It is to be started once and stopped once, in one event loop."""

    def __init__(
        self,
        handlers: Sequence[grpc.ServiceRpcHandler],
        address: str,
        limits: GrpcLimits,
        tls: Tls | None,
        *,
        absent: Sequence[grpc.ServiceRpcHandler] = (),
    ) -> None:
        """`absent`: services that only say that they are not there yet.

        Raises `OSError` if the address cannot be had, or the certificate cannot be read.
        """
        self._health = health.aio.HealthServicer()
        self._names = [handler.service_name() for handler in handlers]
        served = [*handlers, *absent, _health_service(self._health)]
        if limits.reflection:
            served.append(_reflection_service([handler.service_name() for handler in served]))
        self._servers = [grpc.aio.server(options=_options(limits)) for _ in range(_SERVERS)]
        for server in self._servers:
            server.add_generic_rpc_handlers(tuple(served))
            _bind(server, address, tls)

    async def start(self) -> None:
        for name in self._names:
            await self._health.set(name, HealthCheckResponse.SERVING)
        for server in self._servers:
            await server.start()

    async def say_not_serving(self) -> None:
        """Have balancers look elsewhere; calls are taken still."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float | None) -> None:
        """Take no more calls and wait for those there are. After the grace they are cut; None: at once."""
        async with TaskGroup() as tasks:
            for server in self._servers:
                tasks.create_task(server.stop(grace_s))


def build_server(
    *,
    pipeline: Pipeline,
    administration: Administration,
    asides: Asides,
    http: App,
    http_limits: HttpLimits,
    address: str,
    limits: GrpcLimits,
    tls: Tls | None = None,
) -> GrpcServer:
    """Put the services together. `http`: what answers HTTP, within `http_limits`. Raises `OSError` as `GrpcServer`."""
    border = Border(pipeline, write_timeout_ns=limits.write_timeout_ns, message_bytes_max=limits.max_message)
    handlers = [
        chat_service(border),
        embeddings_service(border),
        models_service(border, pipeline),
        routing_service(border, pipeline, asides),
        calls_service(border, pipeline),
        *admin_services(border, administration),
        passthrough_service(border, pipeline, http, http_limits, message_bytes_max=limits.max_message),
    ]
    return GrpcServer(handlers, address, limits, tls, absent=not_yet_services(border))


def _health_service(servicer: health.aio.HealthServicer) -> grpc.ServiceRpcHandler:
    """Handle health by service, as all else: what generated code adds by method each server waits for apart."""
    read, write = HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
    return service(
        health.SERVICE_NAME,
        {
            "Check": grpc.unary_unary_rpc_method_handler(servicer.Check, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, read, write),
        },
    )


def _reflection_service(names: Sequence[str]) -> grpc.ServiceRpcHandler:
    from grpc_reflection.v1alpha import reflection
    from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

    servicer = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME))
    read, write = ServerReflectionRequest.FromString, ServerReflectionResponse.SerializeToString
    answer = grpc.stream_stream_rpc_method_handler(servicer.ServerReflectionInfo, read, write)
    return service(reflection.SERVICE_NAME, {"ServerReflectionInfo": answer})


def _bind(server: grpc.aio.Server, address: str, tls: Tls | None) -> None:
    try:
        if tls is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, _credentials(tls))
    except RuntimeError as exc:
        raise OSError(f"{address}: {exc}. Stop what listens there or choose another port") from exc


def _options(limits: GrpcLimits) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", limits.max_message),
        ("grpc.max_send_message_length", limits.max_message),
        ("grpc.max_metadata_size", _METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES_MAX),
        ("grpc.max_concurrent_streams", _STREAMS_MAX),
        ("grpc.max_connection_age_ms", limits.connection_age_ns // NS_PER_MS),
        ("grpc.max_connection_age_grace_ms", limits.connection_grace_ns // NS_PER_MS),
        ("grpc.keepalive_time_ms", limits.ping_ns // NS_PER_MS),
        ("grpc.keepalive_timeout_ms", limits.pong_ns // NS_PER_MS),
        ("grpc.http2.ping_timeout_ms", limits.pong_ns // NS_PER_MS),  # by default a minute, and that wins
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", limits.pinged_ns_min // NS_PER_MS),
        ("grpc.so_reuseport", 1),  # our servers share the port, and our own socket holds it for them (listener.py)
    ]


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    pair = Path(tls.key_file).read_bytes(), Path(tls.cert_file).read_bytes()
    if tls.client_ca_file is None:
        return grpc.ssl_server_credentials([pair])
    authorities = Path(tls.client_ca_file).read_bytes()
    return grpc.ssl_server_credentials([pair], root_certificates=authorities, require_client_auth=True)
