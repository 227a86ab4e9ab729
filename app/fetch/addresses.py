"""Which IP addresses are on the public internet; no names, no network."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
"""Where a connection may go."""

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and Alibaba Cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own services, at an address that looks public
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocols, and Oracle Cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
"""Written out because `is_global` of Python 3.11 lets several through.

Source: https://www.iana.org/assignments/iana-ipv4-special-registry;
https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16, seen 2026-11-21.
"""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only block that IANA gives addresses from.

Outside it, and so refused: loopback, IPv4-mapped and IPv4-compatible, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), unique
local, link-local, site-local, multicast, and segment routing (5f00::/16).

Source: https://www.iana.org/assignments/ipv6-address-space, seen 2026-11-21.
"""

_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
"""Source: https://www.iana.org/assignments/iana-ipv6-special-registry, seen 2026-11-21."""

_ISATAP = 0x0000_5EFE
_ISATAP_MASK = 0xFDFF_FFFF


def is_public(address: Address) -> bool:
    """Whether the address is a unicast address of the public internet, and no other address is wrapped in it."""
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return (
        address in _GLOBAL_UNICAST
        and address.scope_id is None
        and not any(address in network for network in _NOT_PUBLIC_V6)
        and not _is_isatap(address)
    )


def _is_isatap(address: IPv6Address) -> bool:
    """Whether the lower half says that an IPv4 address is in it (RFC 5214, section 6.1)."""
    return (int(address) >> 32) & _ISATAP_MASK == _ISATAP
