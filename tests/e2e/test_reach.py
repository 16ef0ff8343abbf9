"""Where the operator's own addresses may lead, and which way: judged when a connection is made."""

from pathlib import Path

import pytest
import yaml

from tests.support.connect_proxy import ConnectProxy
from tests.support.fake_upstream import FakeUpstream, Reply
from tests.support.process import finished
from tests.support.running import chat, config_for, running_router
from tests.support.wire import Answer, wire


def reached(upstream: FakeUpstream, host: str = "127.0.0.1", **network: object) -> dict[str, object]:
    """A configuration whose provider is at `host`, reached as `network` says."""
    config = config_for(upstream)
    providers = config["providers"]
    assert isinstance(providers, list)
    providers[0] |= {"base_url": upstream.base_url.replace("127.0.0.1", host), "network": network}
    return config


async def ask(config: dict[str, object], folder: Path) -> Answer:
    async with running_router(config, folder) as router, wire(router.http_port) as connection:
        return await connection.ask(chat())


async def test_a_name_that_leads_inside_is_refused_when_it_is_connected_to(tmp_path: Path) -> None:
    """T11c: what a name resolves to is judged, not what it looks like."""
    async with FakeUpstream() as upstream:
        reply = await ask(reached(upstream, "localhost"), tmp_path)

    assert (502, "upstream_error") == (reply.status, reply.error["code"])
    assert "set network.allow_private: true if it may be" in str(reply.error["message"])
    assert 0 == upstream.connections_opened


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "network", "told"),
    [
        ("127.0.0.1", {}, "set network.allow_private: true if it may be"),
        ("10.0.0.1", {"allow_private": False}, "set network.allow_private: true if it may be"),
        ("169.254.169.254", {"allow_private": True}, "to which nothing is ever sent"),
        ("[::ffff:169.254.169.254]", {"allow_private": True}, "to which nothing is ever sent"),
    ],
)
async def test_an_address_that_may_not_be_reached_stops_the_start(
    host: str, network: dict[str, object], told: str, tmp_path: Path
) -> None:
    """T11c: an operator hears of it before the first call does."""
    async with FakeUpstream() as upstream:
        (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump(reached(upstream, host, **network)))
        refused = await finished(tmp_path, "serve", "--config", "checkrein.yaml")

    assert 0 != refused.status
    assert "base_url of provider 'fake' is at" in refused.err
    assert told in refused.err
    assert "Traceback" not in refused.err


async def test_a_redirect_is_an_error_and_followed_nowhere(tmp_path: Path) -> None:
    """T11c: a provider cannot send our request, and its credential, to somebody else."""
    async with FakeUpstream() as upstream, FakeUpstream() as elsewhere:
        moved = Reply(status=307, headers=(("location", f"{elsewhere.base_url}/chat/completions"),))
        upstream.handler = lambda _: moved
        reply = await ask(reached(upstream, allow_private=True), tmp_path)

    assert (502, "upstream_error") == (reply.status, reply.error["code"])
    assert [] == elsewhere.requests


async def test_a_call_goes_through_the_proxy_and_the_proxys_refusal_is_told(tmp_path: Path) -> None:
    async with FakeUpstream() as upstream, ConnectProxy() as proxy:
        url = proxy.url.replace("//", "//user:hunter2@")
        through = reached(upstream, allow_private=True, proxy=url)
        good = await ask(through, tmp_path)
        proxy.answer = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        bad = await ask(through, tmp_path)

    assert 200 == good.status
    assert [f"CONNECT 127.0.0.1:{upstream.port} HTTP/1.1"] == sorted({first for first, _ in proxy.asked})
    assert (502, "upstream_error") == (bad.status, bad.error["code"])
    assert "its proxy answered with status 407" in str(bad.error["message"])
    assert "hunter2" not in str(bad.error)
