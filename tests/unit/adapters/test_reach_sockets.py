"""One gets to a provider or is told where the way ends: at its name, its port or its certificate."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from router.adapters.reach_sockets import look_around
from router.domain.catalog import Network, Provider, ProviderKind, Timeouts
from router.domain.diagnosis import Reach
from router.domain.ids import ProviderId
from tests.support.fake_upstream import FakeUpstream

SECOND = 10**9


async def reach(base_url: str, *, ca_file: str | None = None, allow_private: bool = True) -> Reach:
    timeouts = Timeouts(connect_ns=5 * SECOND, stream_first_event_ns=SECOND, stream_idle_ns=SECOND, total_ns=5 * SECOND)
    provider = Provider(
        id=ProviderId("up"),
        kind=ProviderKind.OPENAI_COMPATIBLE,
        base_url=base_url,
        timeouts=timeouts,
        network=Network(ca_file=ca_file, allow_private=allow_private),
    )
    return await look_around(provider)


def naive(year: int) -> datetime:
    """As the library that makes certificates wants it."""
    return datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def serving(folder: Path, ends: datetime) -> tuple[ssl.SSLContext, str]:
    """Make what a server shows until `ends`, and the file of the authority that vouches for it."""
    authority = trustme.CA(organization_name="Trust")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", common_name="up.example", not_before=naive(2020), not_after=ends).configure_cert(
        context
    )
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    return context, str(folder / "authority.pem")


async def test_a_connection_is_all_that_plain_http_has() -> None:
    async with FakeUpstream() as upstream:
        assert Reach(addresses=("127.0.0.1",)) == await reach(upstream.base_url)
        assert [] == upstream.requests


async def test_nobody_connects_where_no_call_would() -> None:
    async with FakeUpstream() as upstream:
        inside = await reach(upstream.base_url, allow_private=False)

    assert ("127.0.0.1",) == inside.addresses
    assert "set network.allow_private: true" in str(inside.trouble)
    assert 0 == upstream.connections_opened
    assert "to which nothing is ever sent" in str((await reach("http://169.254.169.254/v1")).trouble)


async def test_a_certificate_is_read(tmp_path: Path) -> None:
    ends = (datetime.now(UTC) + timedelta(days=30)).replace(tzinfo=None, microsecond=0)
    context, authority = serving(tmp_path, ends)
    async with FakeUpstream(tls=context) as upstream:
        found = await reach(upstream.base_url, ca_file=authority)

    assert found.trouble is None
    assert found.certificate is not None
    assert ("up.example", "Trust") == (found.certificate.subject, found.certificate.issuer)
    assert int(ends.replace(tzinfo=UTC).timestamp()) * SECOND == found.certificate.ends_ns


async def test_a_certificate_that_has_ended_is_not_accepted(tmp_path: Path) -> None:
    context, authority = serving(tmp_path, naive(2021))
    async with FakeUpstream(tls=context) as upstream:
        found = await reach(upstream.base_url, ca_file=authority)

    assert (("127.0.0.1",), True, None) == (found.addresses, found.tls, found.certificate)
    assert "certificate not accepted: certificate has expired" == found.trouble


async def test_an_authority_that_nobody_knows_is_not_accepted(tmp_path: Path) -> None:
    context, _ = serving(tmp_path, naive(2099))
    async with FakeUpstream(tls=context) as upstream:
        assert "certificate not accepted" in str((await reach(upstream.base_url)).trouble)


async def test_a_port_that_nobody_listens_on_is_told() -> None:
    async with FakeUpstream() as gone:
        nowhere, port = gone.base_url, gone.port

    assert f"port {port} does not connect (Connection refused)" == (await reach(nowhere)).trouble


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 64 + ".invalid"])
async def test_a_host_without_an_address_is_told(host: str) -> None:
    found = await reach(f"https://{host}/v1")

    assert ((), True) == (found.addresses, found.tls)
    assert str(found.trouble).startswith(f"{host} has no address (")
