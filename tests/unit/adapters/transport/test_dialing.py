"""What a dialer refuses before it connects. What it connects is in the contract suite."""

import asyncio

import pytest

from router.adapters.transport.addresses import AddressRefused
from router.adapters.transport.dialing import Dialer, Reach, system_resolver
from router.domain.secret import Secret


@pytest.mark.parametrize(
    ("host", "reach", "refused"),
    [
        ("10.0.0.1", Reach(), AddressRefused),
        ("169.254.169.254", Reach(allow_private=True), AddressRefused),
        ("169.254.169.254", Reach(allow_private=True, proxy=Secret("http://p:1")), AddressRefused),
        ("h", Reach(proxy=Secret("p:1")), ValueError),
    ],
)
def test_what_can_never_work_is_refused_at_once(host: str, reach: Reach, refused: type[Exception]) -> None:
    with pytest.raises(refused):
        Dialer(host=host, port=1, reach=reach)


async def test_a_name_of_this_machine_is_resolved_to_each_address_once() -> None:
    found = await system_resolver("localhost", 80)

    assert "127.0.0.1" in found
    assert len(set(found)) == len(found)


async def test_the_error_of_the_last_address_is_the_one_that_is_told() -> None:
    async def two(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "127.0.0.2"]

    with pytest.raises(OSError, match=r"127\.0\.0\.2"):
        await Dialer(host="h", port=1, reach=Reach(allow_private=True), resolve=two).open(asyncio.Protocol)


def test_a_way_that_is_shown_keeps_the_proxys_password() -> None:
    assert "hunter2" not in repr(Reach(proxy=Secret("http://u:hunter2@p:1")))
