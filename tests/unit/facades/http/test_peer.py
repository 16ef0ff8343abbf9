"""Who is on this machine."""

import pytest

from router.facades.http.peer import is_local

ELSEWHERE = ("10.0.0.1", "192.0.2.1", "0.0.0.0", "::", "::ffff:10.0.0.1", "fe80::1", "", "localhost", "x")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_local(host: str) -> None:
    assert is_local({"client": (host, 1)})


@pytest.mark.parametrize("host", ELSEWHERE)
def test_anything_else_is_not(host: str) -> None:
    assert not is_local({"client": (host, 1)})


def test_a_unix_socket_is_local() -> None:
    assert is_local({"client": None})
    assert is_local({})
