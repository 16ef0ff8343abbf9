"""Read from the settings within which bounds the listeners serve, and say where they do."""

import logging

from router.config import GrpcSettings, Settings, TlsSettings, notices
from router.facades.grpc.limits import GrpcLimits
from router.facades.http.limits import HttpLimits
from router.facades.tls import Tls
from router.lifecycle import Drain, Listener

_log = logging.getLogger(__name__)


def http_limits(settings: Settings) -> HttpLimits:
    http = settings.server.http
    return HttpLimits(
        max_body=http.max_body,
        max_headers=http.max_headers,
        read_timeout_ns=http.read_timeout,
        body_timeout_ns=http.body_timeout,
        write_timeout_ns=http.write_timeout,
        stream_ping_ns=http.stream_ping,
    )


def grpc_limits(settings: GrpcSettings) -> GrpcLimits:
    return GrpcLimits(
        max_message=settings.max_message,
        write_timeout_ns=settings.write_timeout,
        connection_age_ns=settings.connection_age,
        connection_grace_ns=settings.connection_grace,
        reflection=settings.reflection,
    )


def drain_of(settings: Settings) -> Drain:
    return Drain(delay_ns=settings.server.drain.delay, grace_ns=settings.server.drain.grace)


def tls_of(settings: TlsSettings | None) -> Tls | None:
    if settings is None:
        return None
    return Tls(cert_file=settings.cert_file, key_file=settings.key_file, client_ca_file=settings.client_ca_file)


def say_start(settings: Settings, http: Listener, ops: Listener) -> None:
    """Say where the listeners are; gRPC's says so itself, once it is up."""
    scheme = "https" if settings.server.http.tls else "http"
    _log.info("serving %s://%s:%d/v1", scheme, settings.server.http.host, http.port)
    _log.info("metrics and probes on http://%s:%d", settings.server.ops.host, ops.port)
    for notice in notices(settings):
        _log.warning(notice)
