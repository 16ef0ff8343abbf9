"""How a proxy is written and asked. What becomes of its answers on a network is in the contract suite."""

import asyncio

import pytest

from router.adapters.transport.tunnel import TUNNEL_HEAD_BYTES_MAX, Proxy, Tunnel, TunnelRefused, read_proxy
from router.domain.secret import Secret

PROXY = Proxy(host="p", port=3128)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://p:3128", PROXY),
        ("http://p:3128/", PROXY),
        ("http://p", Proxy(host="p", port=80)),
        ("http://u:w@p:3128", Proxy(host="p", port=3128, credentials=Secret("Basic dTp3"))),
        ("http://u@p:3128", Proxy(host="p", port=3128, credentials=Secret("Basic dTo="))),
        ("http://u:%40%3A@[::1]:1", Proxy(host="::1", port=1, credentials=Secret("Basic dTpAOg=="))),
    ],
)
def test_a_proxy_is_read_with_its_credentials(url: str, proxy: Proxy) -> None:
    assert proxy == read_proxy(url)


@pytest.mark.parametrize(
    "url",
    ["https://u:hunter2@p:1", "socks5://u:hunter2@p:1", "http://u:hunter2@p:1/x", "http://:1",
     "http://u:hunter2@p:1?x", "http://u:hunter2@p:x", "http://[u:hunter2", "hunter2", ""],
)  # fmt: skip
def test_what_is_no_proxy_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="a proxy is written as") as caught:
        read_proxy(url)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("host", ["a b", "a\r\nb", "ä.example", ""])
async def test_a_host_that_cannot_stand_in_a_request_line_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        Tunnel(PROXY, host, 443)


async def test_an_answer_may_come_in_pieces() -> None:
    tunnel = Tunnel(PROXY, "h", 443)
    for piece in (b"HTTP/1.0 2", b"00 OK\r\nvia: p\r\n", b"\r", b"\n"):
        assert not tunnel._opened.done()
        tunnel.data_received(piece)

    await tunnel.opened()


async def test_a_head_without_end_is_refused_at_its_bound() -> None:
    tunnel = Tunnel(PROXY, "h", 443)
    tunnel.data_received(b"x" * TUNNEL_HEAD_BYTES_MAX)
    assert not tunnel._opened.done()
    tunnel.data_received(b"x")

    with pytest.raises(TunnelRefused):
        await tunnel.opened()


async def test_what_comes_after_somebody_gave_up_is_nobodys_business() -> None:
    tunnel = Tunnel(PROXY, "h", 443)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(tunnel.opened())
        asyncio.get_running_loop().call_soon(waiting.cancel)
    tunnel.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    tunnel.connection_lost(None)

    assert waiting.cancelled()
