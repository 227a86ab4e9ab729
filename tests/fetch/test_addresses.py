"""Which addresses a download may connect to."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.fetch.addresses import is_public

PUBLIC_V4 = IPv4Address("93.184.215.14")

Wrapping: TypeAlias = Callable[[int], int]

WRAPPINGS: dict[str, Wrapping] = {
    "IPv4-compatible": lambda v4: v4,
    "IPv4-mapped": lambda v4: 0xFFFF << 32 | v4,
    "IPv4-translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: 0x0064_FF9B << 96 | v4,
    "local NAT64": lambda v4: 0x0064_FF9B_0001 << 80 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80,
    "Teredo client": lambda v4: 0x2001_0000 << 96 | v4 ^ 0xFFFF_FFFF,
    "Teredo server": lambda v4: 0x2001_0000 << 96 | v4 << 64,
}


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.254",
        "168.63.129.15",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82b::200e",
        "2001:4860:4860::8888",
        "2600::1:5efe:0:1",
    ],
)
def test_a_public_address_is_allowed(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104 - bound to by nobody
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.9",
        "192.0.0.192",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
    ],
)
def test_a_special_ipv4_address_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "2606:4700::1%eth0",
        "2606:4700::5efe:127.0.0.1",
        "2606:4700::200:5efe:127.0.0.1",
    ],
)
def test_a_special_ipv6_address_is_refused(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
@given(address=st.one_of(st.ip_addresses(v=4), st.just(PUBLIC_V4)))
def test_no_ipv4_address_is_allowed_inside_an_ipv6_address(wrap: Wrapping, address: IPv4Address) -> None:
    assert not is_public(IPv6Address(wrap(int(address))))


@given(address=st.ip_addresses(v=6))
def test_only_global_unicast_ipv6_is_allowed(address: IPv6Address) -> None:
    assert not is_public(address) or int(address) >> 125 == 0b001
