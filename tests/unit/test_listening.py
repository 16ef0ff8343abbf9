"""The bounds of the listeners are those of the settings, each in its own place."""

import logging
from pathlib import Path

import pytest

from router.config import Settings, Sources, load
from router.domain.instants import NS_PER_S
from router.facades.grpc.limits import GrpcLimits
from router.facades.http.limits import HttpLimits
from router.facades.tls import Tls
from router.lifecycle import Drain
from router.listening import drain_of, grpc_limits, http_limits, say_start, tls_of


def settings(tmp_path: Path, **overrides: str | int) -> Settings:
    nowhere = tmp_path / "nowhere.yaml"
    said = {name.replace("__", "."): value for name, value in overrides.items()}
    sources = Sources(explicit=None, env={}, overrides=said, system=nowhere, user=nowhere, project=nowhere)
    return load(sources, new_admin_key="sk-admin-key").settings


def test_each_bound_of_http_is_its_setting(tmp_path: Path) -> None:
    said = settings(
        tmp_path,
        server__http__max_body="2MiB",
        server__http__max_headers="3KiB",
        server__http__read_timeout="4s",
        server__http__body_timeout="5s",
        server__http__write_timeout="6s",
        server__http__stream_ping="7s",
    )

    assert http_limits(said) == HttpLimits(
        max_body=2 << 20,
        max_headers=3 << 10,
        read_timeout_ns=4 * NS_PER_S,
        body_timeout_ns=5 * NS_PER_S,
        write_timeout_ns=6 * NS_PER_S,
        stream_ping_ns=7 * NS_PER_S,
    )


def test_each_bound_of_grpc_is_its_setting(tmp_path: Path) -> None:
    said = settings(
        tmp_path,
        server__grpc__max_message="2MiB",
        server__grpc__write_timeout="3s",
        server__grpc__connection_age="4s",
        server__grpc__connection_grace="5s",
        server__grpc__reflection="false",
    ).server.grpc
    assert said is not None

    assert grpc_limits(said) == GrpcLimits(
        max_message=2 << 20,
        write_timeout_ns=3 * NS_PER_S,
        connection_age_ns=4 * NS_PER_S,
        connection_grace_ns=5 * NS_PER_S,
        reflection=False,
    )


def test_a_drain_is_its_setting(tmp_path: Path) -> None:
    said = settings(tmp_path, server__drain__delay="1s", server__drain__grace="2s")

    assert Drain(delay_ns=NS_PER_S, grace_ns=2 * NS_PER_S) == drain_of(said)


def test_without_a_certificate_there_is_no_tls(tmp_path: Path) -> None:
    (tmp_path / "c.pem").touch()
    (tmp_path / "k.pem").touch()
    files = {"cert_file": str(tmp_path / "c.pem"), "key_file": str(tmp_path / "k.pem")}
    said = settings(tmp_path, **{f"server__http__tls__{name}": file for name, file in files.items()})

    assert None is tls_of(settings(tmp_path).server.http.tls)
    assert Tls(**files, client_ca_file=None) == tls_of(said.server.http.tls)


def test_the_start_is_said_with_each_port(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class At:
        def __init__(self, port: int) -> None:
            self.port = port

    caplog.set_level(logging.INFO)
    say_start(settings(tmp_path), At(1), At(2))  # type: ignore[arg-type]  # all that is said of them
    text = caplog.text

    assert "serving http://127.0.0.1:1/v1" in text
    assert "metrics and probes on http://127.0.0.1:2" in text
