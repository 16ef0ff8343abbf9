"""Build the gRPC server: its services, health and reflection, its bounds, its certificate."""

from asyncio import TaskGroup
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from router.domain.instants import NS_PER_MS
from router.facades.grpc.border import Border
from router.facades.grpc.chat import chat_service
from router.facades.grpc.limits import GrpcLimits
from router.facades.tls import Tls
from router.pipeline.open import Pipeline

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
        self, handlers: Sequence[grpc.GenericRpcHandler], address: str, limits: GrpcLimits, tls: Tls | None
    ) -> None:
        """Raises `OSError` if the address cannot be had, or the certificate cannot be read."""
        self._health = health.aio.HealthServicer()
        self._names = [handler.service_name() for handler in handlers if isinstance(handler, grpc.ServiceRpcHandler)]
        served = _Served(handlers)
        server = cast("grpc.aio.Server", served)  # the part of one that handlers are added to
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if limits.reflection:
            from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

            names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflected = reflection.aio.ReflectionServicer(names)
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, server)  # type: ignore[no-untyped-call]
        self._servers = [grpc.aio.server(options=_options(limits)) for _ in range(_SERVERS)]
        for server in self._servers:
            server.add_generic_rpc_handlers(tuple(served.handlers))
            _bind(server, address, tls)

    async def start(self) -> None:
        for name in self._names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
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


class _Served:
    """What generated code adds its handlers to.

    It would add each method by itself as well, and a server waits for the next call of each of those beside all others.
    """

    def __init__(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self.handlers = [*handlers]

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, _service: str, _methods: object) -> None:
        pass


def build_server(*, pipeline: Pipeline, address: str, limits: GrpcLimits, tls: Tls | None = None) -> GrpcServer:
    """Put the services together. Raises `OSError` as `GrpcServer`."""
    border = Border(pipeline, write_timeout_ns=limits.write_timeout_ns)
    return GrpcServer([chat_service(border)], address, limits, tls)


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
