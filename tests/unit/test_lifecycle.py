"""Listeners are bound before they serve, and a phase begins as not ready; e2e/test_drain.py has the stop."""

import socket

import pytest

from router.facades.http.limits import HttpLimits
from router.facades.http.ops import build_ops_app
from router.lifecycle import Address, Listener, Phase, Tls
from tests.support.fakes import SECOND

LIMITS = HttpLimits(
    max_body=1_000,
    max_headers=1_000,
    read_timeout_ns=SECOND,
    body_timeout_ns=SECOND,
    write_timeout_ns=SECOND,
    stream_ping_ns=SECOND,
)
APP = build_ops_app(health=Phase(), exposition=lambda: (b"", "text/plain"))


def test_a_phase_begins_as_not_ready() -> None:
    assert "starting" == Phase().not_ready


def test_port_0_becomes_a_real_one_and_can_be_given_back() -> None:
    listener = Listener(APP, Address(host="127.0.0.1", port=0), LIMITS)
    listener.unbind()

    assert 0 < listener.port
    Listener(APP, Address(host="127.0.0.1", port=listener.port), LIMITS).unbind()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use. Stop what listens there"):
            Listener(APP, Address(host="127.0.0.1", port=port), LIMITS)


def test_a_certificate_that_cannot_be_read_is_said_before_anything_is_bound() -> None:
    with pytest.raises(OSError, match="No such file"):
        Listener(APP, Address(host="127.0.0.1", port=0, tls=Tls(cert_file="none.pem", key_file="none.pem")), LIMITS)
