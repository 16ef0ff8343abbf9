"""Decide to which addresses a connection may be made: to no link-local one ever, to private ones where allowed.

A name is judged by what it resolves to, before each connection, which then goes to an address that was judged: it
cannot change its mind in between.
"""

from collections.abc import Iterable
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

ADDRESSES_MAX: Final = 16
"""Of one name. What it resolves to beyond is neither judged nor tried."""

_CLOUD: Final = frozenset(
    ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254")
)
"""Where clouds give their credentials to whoever asks from inside, beside 169.254.169.254, which is link-local."""
_CLOUD_RANGE: Final = IPv6Network("fd00:ec2::/32")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""How networks without IPv4 reach all of it: such an address is what the one inside it is."""
_WITH_IPV4_LAST: Final = (_NAT64, IPv6Network("64:ff9b:1::/48"), IPv6Network("::ffff:0:0/96"), IPv6Network("::/96"))
_LAST_32_BITS: Final = (1 << 32) - 1


class Standing(Enum):
    """What an address is to whoever must not be lured inside."""

    PUBLIC = "public"
    PRIVATE = "private"
    """Loopback, private networks, and whatever else is not the open Internet."""
    FORBIDDEN = "forbidden"
    """Link-local, or where a cloud hands out its credentials."""


class AddressRefused(Exception):
    """`str()` continues a sentence that begins with the provider's name."""


def standing_of(text: str) -> Standing:
    """Judge an address, and the IPv4 address that an IPv6 one may stand for. Raises ValueError if it is none."""
    address = ip_address(text.partition("%")[0])
    inner = _inner(address) if isinstance(address, IPv6Address) else None
    if inner is None:
        return _standing(address)
    standing = _standing(inner)
    if standing is Standing.PUBLIC and address not in _NAT64:
        return Standing.PRIVATE  # a way around rules for IPv4, and of no use for anything else
    return standing


def is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def admit(host: str, addresses: Iterable[str], *, allow_private: bool) -> list[str]:
    """Return the addresses of `host` to which a connection may be made, in their order. Raises `AddressRefused`."""
    judged = [(address, standing_of(address)) for address in list(addresses)[:ADDRESSES_MAX]]
    allowed = {Standing.PUBLIC, Standing.PRIVATE} if allow_private else {Standing.PUBLIC}
    admitted = [address for address, standing in judged if standing in allowed]
    if admitted:
        return admitted
    if not judged:
        raise AddressRefused("has no address")
    # What is forbidden is named first: allowing private addresses would not help there.
    address, standing = min(judged, key=lambda one: one[1] is not Standing.FORBIDDEN)
    where = f"is at {address}" if host == address else f"is at {address} ({host})"
    if standing is Standing.FORBIDDEN:
        raise AddressRefused(f"{where}, a link-local or metadata address, to which nothing is ever sent")
    raise AddressRefused(f"{where}, an address of a private network; set network.allow_private: true if it may be")


def _standing(address: IPv4Address | IPv6Address) -> Standing:
    if address.is_link_local or address in _CLOUD or address in _CLOUD_RANGE:
        return Standing.FORBIDDEN
    unicast = not (address.is_multicast or address.is_reserved) if address.version == 4 else address in _GLOBAL_UNICAST
    return Standing.PUBLIC if address.is_global and unicast else Standing.PRIVATE


def _inner(address: IPv6Address) -> IPv4Address | None:
    if any(address in network for network in _WITH_IPV4_LAST):
        return IPv4Address(int(address) & _LAST_32_BITS)
    if address.teredo is not None:
        return address.teredo[1]
    return address.sixtofour
