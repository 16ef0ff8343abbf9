"""The pool's bounds. What it does on a network is in the contract suite."""

import asyncio

import pytest

from router.adapters import transport_httptools
from router.adapters.transport_httptools import transport_to, transport_to_receiver
from router.domain.catalog import Provider, ProviderKind
from router.domain.dispatch.failure import FailureKind
from router.domain.ids import ProviderId
from router.ports.transport import HttpRequest, TransportFailed
from tests.support import fake_upstream
from tests.support.fake_upstream import FakeUpstream
from tests.support.fakes import snapshot
from tests.support.transport_calls import LOCAL

REQUEST = HttpRequest(target=b"/v1/chat/completions", head=b"host: h\r\n", body=b'{"messages":[]}')


def provider(base_url: str) -> Provider:
    timeouts = snapshot().providers[ProviderId("up")].timeouts
    return Provider(id=ProviderId("up"), kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base_url, timeouts=timeouts)


async def test_connections_have_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport_httptools, "CONNECTIONS_MAX", 1)
    async with FakeUpstream() as upstream:
        transport = transport_to(provider(upstream.base_url), LOCAL)
        busy = await transport.send(REQUEST)
        with pytest.raises(TransportFailed, match="already has 1 connections") as caught:
            await transport.send(REQUEST)
        assert FailureKind.CONNECT is caught.value.kind
        while not busy.complete:
            await busy.read()

        again = await transport.send(REQUEST)
        while not again.complete:
            await again.read()
        assert 2 == len(upstream.requests)


async def test_a_connection_that_could_not_be_made_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_httptools, "CONNECTIONS_MAX", 1)
    async with FakeUpstream() as upstream:
        transport = transport_to(provider(upstream.base_url), LOCAL)

    for _ in range(2):
        with pytest.raises(TransportFailed, match="could not be reached"):
            await transport.send(REQUEST)


async def test_no_more_connections_are_kept_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_httptools, "IDLE_CONNECTIONS_MAX", 1)
    async with FakeUpstream() as upstream:
        transport = transport_to(provider(upstream.base_url), LOCAL)
        gate = asyncio.Event()
        upstream.script(*[fake_upstream.silence(gate)] * 3)
        replies = [await transport.send(REQUEST) for _ in range(3)]
        await upstream.received(3)
        gate.set()
        for reply in replies:
            while not reply.complete:
                await reply.read()

        await upstream.left(1)
        await transport.send(REQUEST)
        assert 3 == upstream.connections_opened


async def test_a_missing_ca_file_is_an_error_at_once() -> None:
    with pytest.raises(OSError):
        transport_httptools._tls_context("no-such-file.pem")


async def test_a_receiver_of_events_is_reached_by_its_address_which_no_error_quotes() -> None:
    async with FakeUpstream() as receiver:
        reply = await transport_to_receiver(f"{receiver.url}/hook").send(REQUEST)
        while not reply.complete:
            await reply.read()

        assert 1 == len(receiver.requests)
    with pytest.raises(ValueError, match="the url of a webhook must begin with http") as caught:
        transport_to_receiver("ftp://h/hunter2")
    assert "hunter2" not in str(caught.value)


async def test_a_connection_that_has_grown_old_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_httptools, "AGE_S_MAX", -1.0)
    async with FakeUpstream() as upstream:
        transport = transport_to(provider(upstream.base_url), LOCAL)
        for _ in range(2):
            reply = await transport.send(REQUEST)
            while not reply.complete:
                await reply.read()

        assert 2 == upstream.connections_opened


async def test_a_receiver_may_be_at_home_and_never_where_credentials_are_handed_out() -> None:
    transport_to_receiver("http://10.0.0.1/hook")
    with pytest.raises(ValueError, match=r"the url of a webhook is at 169\.254\.169\.254, a link-local") as caught:
        transport_to_receiver("http://169.254.169.254/hunter2")
    assert "hunter2" not in str(caught.value)
