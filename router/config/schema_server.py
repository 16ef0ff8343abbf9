"""Describe the listeners, the worker processes and how they stop."""

from typing import Annotated

from pydantic import Field

from router.config.section import Section
from router.config.units import Port, Text, duration, size
from router.domain.instants import NS_PER_S


class TlsSettings(Section):
    cert_file: Text = Field(description="Certificate chain in PEM, relative to the configuration file.")
    key_file: Text = Field(description="Private key in PEM, relative to the configuration file.")
    client_ca_file: Text | None = Field(
        default=None, description="Ask callers for a certificate that one of these authorities (PEM) has signed."
    )


class HttpSettings(Section):
    host: Text = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=8080, description="Port to listen on; 0 takes a free one.")
    max_body: Annotated[int, size("1KiB", "1GiB")] = Field(
        default=32 << 20, description="Largest request body; a larger one gets 413."
    )
    max_headers: Annotated[int, size("1KiB", "1MiB")] = Field(
        default=32 << 10, description="Largest request head; a larger one gets 431."
    )
    read_timeout: Annotated[int, duration("100ms", "1h")] = Field(
        default=10 * NS_PER_S, description="Longest wait for the request's head, and for each pause in its body."
    )
    body_timeout: Annotated[int, duration("100ms", "1h")] = Field(
        default=300 * NS_PER_S, description="Longest time that a whole request body may take."
    )
    write_timeout: Annotated[int, duration("100ms", "1h")] = Field(
        default=30 * NS_PER_S, description="A reader that takes nothing of its reply for so long is cut off."
    )
    stream_ping: Annotated[int, duration("100ms", "1h")] = Field(
        default=10 * NS_PER_S,
        description="Interval of keep-alive comments on a silent stream; "
        "also how long its status line waits for the first event.",
    )
    tls: TlsSettings | None = Field(default=None, description="Serve HTTPS with this certificate.")
    cors: tuple[Text, ...] = Field(default=(), description="Origins that browsers may call from.")


class GrpcSettings(Section):
    host: Text = Field(default="127.0.0.1", description="Address to listen on.")
    port: Port = Field(default=50_051, description="Port to listen on; 0 takes a free one.")
    max_message: Annotated[int, size("1KiB", "1GiB")] = Field(
        default=32 << 20, description="Largest message that is accepted."
    )
    write_timeout: Annotated[int, duration("100ms", "1h")] = Field(
        default=30 * NS_PER_S, description="A reader that takes nothing of its stream for so long is cut off."
    )
    connection_age: Annotated[int, duration("1s", "1d")] = Field(
        default=1_800 * NS_PER_S,
        description="After so long a connection is asked to come anew, so that balancers can spread it again.",
    )
    connection_grace: Annotated[int, duration("1s", "1d")] = Field(
        default=600 * NS_PER_S, description="How long the calls of such a connection may then take."
    )
    reflection: bool = Field(default=True, description="Let clients such as grpcurl list the services.")
    tls: TlsSettings | None = Field(default=None, description="Serve TLS with this certificate.")


class OpsSettings(Section):
    host: Text = Field(default="127.0.0.1", description="Address for metrics and health, without keys.")
    port: Port = Field(default=9464, description="Port of that listener; 0 takes a free one.")


class DrainSettings(Section):
    delay: Annotated[int, duration("0s", "10m")] = Field(
        default=0, description="After a stop signal, keep accepting for so long while readiness already says no."
    )
    grace: Annotated[int, duration("0s", "1h")] = Field(
        default=25 * NS_PER_S, description="How long running calls may then take to finish."
    )


class ServerSettings(Section):
    http: HttpSettings = Field(default=HttpSettings(), description="The OpenAI-compatible HTTP API.")
    grpc: GrpcSettings | None = Field(default=GrpcSettings(), description="The typed gRPC API; null: it is not served.")
    ops: OpsSettings = Field(default=OpsSettings(), description="Metrics and health.")
    workers: Annotated[int, Field(ge=1, le=256)] = Field(default=1, description="Number of server processes.")
    drain: DrainSettings = Field(default=DrainSettings(), description="How the server stops.")
