"""The contract of the `Transport` port, over a real socket: which addresses are reached, and which way."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from router.adapters.transport.dialing import Reach
from router.adapters.transport_httptools import HttptoolsTransport, transport_to
from router.domain.dispatch.failure import FailureKind
from router.domain.secret import Secret
from router.ports.transport import TransportFailed
from tests.support.certificate import make_certificate
from tests.support.connect_proxy import ConnectProxy
from tests.support.fake_upstream import FakeUpstream
from tests.support.transport_calls import LOCAL, MS, provider, request, whole
from tests.support.waiting import turn

PUBLIC_ONLY = Reach()


class Names:
    """A resolver that answers what a test says, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def named(upstream: FakeUpstream, names: Names, reach: Reach = LOCAL) -> HttptoolsTransport:
    base_url = upstream.base_url.replace("127.0.0.1", "provider.example")
    return transport_to(provider(base_url), reach, resolve=names)


async def refusal_of(transport: HttptoolsTransport) -> TransportFailed:
    with pytest.raises(TransportFailed) as caught:
        await transport.send(request())
    assert not caught.value.sent
    return caught.value


async def test_a_name_is_resolved_once_a_connection_and_that_address_is_reached(upstream: FakeUpstream) -> None:
    names = Names(["127.0.0.1"])
    transport = named(upstream, names)
    for _ in range(2):
        await whole(await transport.send(request()))

    assert [("provider.example", upstream.port)] == names.asked
    assert 2 == len(upstream.requests)


async def test_a_name_that_leads_inside_is_refused_before_anything_is_connected(upstream: FakeUpstream) -> None:
    failed = await refusal_of(named(upstream, Names(["127.0.0.1"]), PUBLIC_ONLY))

    assert FailureKind.CONNECT is failed.kind
    assert (
        "is at 127.0.0.1 (provider.example), an address of a private network; "
        "set network.allow_private: true if it may be"
    ) == str(failed)
    assert 0 == upstream.connections_opened


async def test_a_name_that_changes_its_mind_is_judged_again(upstream: FakeUpstream) -> None:
    """DNS rebinding: the address that was judged is the one that is reached, and the next one is judged anew."""
    names = Names(["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"])
    transport = named(upstream, names)
    await whole(await transport.send(request()))
    upstream.close_idle()
    while transport._idle:
        await turn()

    assert "link-local" in str(await refusal_of(transport))
    await whole(await transport.send(request()))


async def test_only_the_addresses_that_may_be_reached_are_tried(upstream: FakeUpstream) -> None:
    transport = named(upstream, Names(["169.254.169.254", "::ffff:169.254.169.254", "127.0.0.1"]))

    await whole(await transport.send(request()))
    assert 1 == upstream.connections_opened


async def test_the_next_address_is_tried_when_one_does_not_answer(upstream: FakeUpstream) -> None:
    await whole(await named(upstream, Names(["127.0.0.9", "127.0.0.1"])).send(request()))

    assert 1 == upstream.connections_opened


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"])
@pytest.mark.parametrize("reach", [LOCAL, PUBLIC_ONLY])
def test_a_forbidden_address_is_no_base_url_whatever_is_allowed(host: str, reach: Reach) -> None:
    with pytest.raises(ValueError, match=r"base_url of provider 'fake' is at .*, to which nothing is ever sent"):
        transport_to(provider(f"http://{host}/v1"), reach)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "[::1]", "[fd12::1]"])
def test_a_private_address_is_a_base_url_only_where_allowed(host: str) -> None:
    transport_to(provider(f"http://{host}/v1"), LOCAL)
    with pytest.raises(ValueError, match=r"set network\.allow_private: true"):
        transport_to(provider(f"http://{host}/v1"), PUBLIC_ONLY)


async def test_an_address_written_in_another_way_is_judged_as_what_it_is() -> None:
    for host in ("2130706433", "0177.0.0.1", "127.1", "localhost"):
        assert "private" in str(await refusal_of(transport_to(provider(f"http://{host}:1/v1"), PUBLIC_ONLY)))


async def test_a_name_without_an_address_is_not_reached(upstream: FakeUpstream) -> None:
    assert "has no address" == str(await refusal_of(named(upstream, Names([]))))


async def test_a_proxy_is_asked_for_a_tunnel_once_a_connection(upstream: FakeUpstream) -> None:
    async with ConnectProxy() as proxy:
        url = proxy.url.replace("//", "//user:p%40ss@")
        transport = transport_to(provider(upstream.base_url), Reach(allow_private=True, proxy=Secret(url)))
        for _ in range(2):
            await whole(await transport.send(request()))
        await transport.close()

    authority = f"127.0.0.1:{upstream.port}"
    headers = {"host": authority, "proxy-authorization": "Basic dXNlcjpwQHNz"}
    assert [(f"CONNECT {authority} HTTP/1.1", headers)] == proxy.asked
    assert {"host", "content-length"} == upstream.requests[0].headers.keys()


async def test_tls_goes_through_a_proxy_and_is_verified_with_the_provider(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "127.0.0.1")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    async with FakeUpstream(tls=server) as upstream, ConnectProxy() as proxy:
        through = Reach(allow_private=True, proxy=Secret(proxy.url))
        transport = transport_to(provider(upstream.base_url, ca_file=str(made.authority)), through)
        for _ in range(2):
            assert b"chatcmpl-1" in await whole(await transport.send(request()))
        assert 1 == upstream.connections_opened
        await transport.close()

        distrusting = transport_to(provider(upstream.base_url), through)
        assert "certificate" in str(await refusal_of(distrusting))
        await upstream.left(0)
        assert 0 == distrusting._open_count + distrusting._connecting_count


async def test_a_name_behind_a_proxy_is_the_proxys_to_resolve(upstream: FakeUpstream) -> None:
    names = Names(["127.0.0.1"])
    async with ConnectProxy() as proxy:
        url = proxy.url.replace("127.0.0.1", "proxy.example")
        transport = named(upstream, names, Reach(proxy=Secret(url)))
        failed = await refusal_of(transport)

    assert [("proxy.example", proxy.port)] == names.asked
    assert [f"CONNECT provider.example:{upstream.port} HTTP/1.1"] == [first for first, _ in proxy.asked]
    assert "was not reached: its proxy answered with status 502" == str(failed)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 2\r\n\r\nno", "answered with status 407"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered with status 403"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "did not answer as a proxy does"),
        (b"x" * 20_000, "did not answer as a proxy does"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", "sent more than the head of an answer"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_a_failure_to_connect(
    answer: bytes, told: str, upstream: FakeUpstream
) -> None:
    async with asyncio.timeout(5), ConnectProxy() as proxy:
        proxy.answer = answer
        transport = transport_to(provider(upstream.base_url), Reach(allow_private=True, proxy=Secret(proxy.url)))

        failed = await refusal_of(transport)
        while proxy.sides:
            await turn()

    assert FailureKind.CONNECT is failed.kind
    assert f"was not reached: its proxy {told}" == str(failed)
    assert 0 == upstream.connections_opened


async def test_a_proxy_that_says_nothing_takes_no_longer_than_the_limit_of_connecting(upstream: FakeUpstream) -> None:
    async with ConnectProxy() as proxy:
        proxy.silent = True
        through = Reach(allow_private=True, proxy=Secret(proxy.url))
        transport = transport_to(provider(upstream.base_url, connect_ns=30 * MS), through)

        assert FailureKind.CONNECT_TIMEOUT is (await refusal_of(transport)).kind
        while proxy.sides:
            await turn()


async def test_a_proxy_that_hangs_up_is_a_failure_to_connect(upstream: FakeUpstream) -> None:
    async with ConnectProxy() as proxy, asyncio.TaskGroup() as tasks:
        proxy.silent = True
        transport = transport_to(provider(upstream.base_url), Reach(allow_private=True, proxy=Secret(proxy.url)))
        sending = tasks.create_task(refusal_of(transport))
        while not proxy.asked:
            await turn()
        for side in list(proxy.sides):
            side.transport.close()

        assert "was not reached: its proxy closed the connection" == str(await sending)


async def test_a_proxy_that_is_not_there_is_a_failure_to_connect(upstream: FakeUpstream) -> None:
    async with ConnectProxy() as gone:
        through = Reach(allow_private=True, proxy=Secret(gone.url.replace("//", "//user:hunter2@")))

    failed = await refusal_of(transport_to(provider(upstream.base_url), through))
    assert FailureKind.CONNECT is failed.kind
    assert "hunter2" not in str(failed)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_cancelling_while_a_proxy_is_asked_leaves_nothing_open(scheme: str, upstream: FakeUpstream) -> None:
    async with asyncio.timeout(5), ConnectProxy() as proxy:
        proxy.silent = scheme == "http"  # else the handshake is what is never answered
        base_url = upstream.base_url.replace("http", scheme)
        transport = transport_to(provider(base_url), Reach(allow_private=True, proxy=Secret(proxy.url)))
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(transport.send(request()))
            while not (proxy.asked if proxy.silent else upstream.open_connections):
                await turn()
            sending.cancel()

        while proxy.sides:
            await turn()
        await upstream.left(0)
        assert 0 == transport._open_count + transport._connecting_count
