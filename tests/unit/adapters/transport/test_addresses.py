"""Which addresses are what: each range that must not be reached by accident, and the ways around the rules."""

import pytest

from router.adapters.transport.addresses import (
    ADDRESSES_MAX,
    AddressRefused,
    Standing,
    admit,
    is_address,
    standing_of,
)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"],
)
def test_the_open_internet_is_public(address: str) -> None:
    assert Standing.PUBLIC is standing_of(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
        *("100.64.0.1", "100.127.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("192.0.2.1", "::1", "::", "fc00::1", "fdff::1", "ff02::1", "fec0::1", "2001:db8::1", "::ffff:10.0.0.1"),
        *("::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:808:808::1", "2002:a00:1::"),
    ],
)
def test_what_is_at_home_or_nowhere_is_private(address: str) -> None:
    assert Standing.PRIVATE is standing_of(address)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "169.254.170.2", "fe80::1", "fe80::1%eth0", "febf::1", "100.100.100.200"),
        *("168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "::ffff:169.254.169.254"),
        *("::169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254", "2002:a9fe:a9fe::1"),
        "2001:0:4136:e378:8000:63bf:5601:5601",  # Teredo: the client is 169.254.169.254, inverted
    ],
)
def test_where_credentials_are_handed_out_is_forbidden(address: str) -> None:
    assert Standing.FORBIDDEN is standing_of(address)


def test_the_admitted_keep_their_order() -> None:
    addresses = ["8.8.8.8", "10.0.0.1", "1.1.1.1", "169.254.1.1"]

    assert ["8.8.8.8", "1.1.1.1"] == admit("h", addresses, allow_private=False)
    assert ["8.8.8.8", "10.0.0.1", "1.1.1.1"] == admit("h", addresses, allow_private=True)


@pytest.mark.parametrize(
    ("addresses", "allow_private", "told"),
    [
        (["10.0.0.1"], False, "is at 10.0.0.1 (h), an address of a private network; set network.allow_private: true"),
        (["10.0.0.1", "169.254.1.1"], False, "is at 169.254.1.1 (h), a link-local or metadata address"),
        (["169.254.1.1"], True, "is at 169.254.1.1 (h), a link-local or metadata address"),
        ([], True, "has no address"),
    ],
)
def test_a_refusal_names_what_would_help_only_where_it_would(
    addresses: list[str], allow_private: bool, told: str
) -> None:
    with pytest.raises(AddressRefused) as caught:
        admit("h", addresses, allow_private=allow_private)

    assert str(caught.value).startswith(told)


def test_a_name_with_very_many_addresses_is_judged_by_the_first() -> None:
    assert ADDRESSES_MAX == len(admit("h", ["8.8.8.8"] * 1_000, allow_private=False))


def test_only_what_is_an_address_is_one() -> None:
    assert [True, True, True, False, False, False] == [
        is_address(host) for host in ("10.0.0.1", "::1", "fe80::1%eth0", "localhost", "127.1", "")
    ]
