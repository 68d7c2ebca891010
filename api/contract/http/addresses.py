"""IP addresses as texts: the canonical form, and the key under which an address is counted."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# RFC 6052, section 2.1: the IPv4 clients of a translator.
_NAT64 = IPv6Network("64:ff9b::/96")
# RFC 7239, section 6: an IPv4 address, or an IPv6 address in brackets, and an optional port or name of a port.
_NODE = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
# The longest address with a zone, brackets and a port is shorter. The cache keeps no longer text.
_LONGEST = 80


def canonical(text: str) -> str | None:
    """Return the address in a text without its port, brackets and zone, or None if the text is not an address.

    An IPv4-mapped IPv6 address is the IPv4 address.
    """
    return _canonical(text) if len(text) <= _LONGEST else None


# Cached: parsing an address takes 3 us.
@lru_cache(4096)
def _canonical(text: str) -> str | None:
    node = _NODE.fullmatch(text)
    bare = node[1] or node[2] if node else text
    # A zone is valid on its own host only (RFC 6874).
    address = _parse(bare.partition("%")[0])
    return None if address is None else str(address)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


@lru_cache(4096)
def address_key(address: str, ipv6_prefix: int = 64) -> str:
    """Return the key under which limits count an address, because one client can use all addresses of a network.

    The key of an IPv6 address is its network. The key of an IPv4 address is the address itself, also if an IPv6 address
    contains it. A text that is not an address, such as that of a Unix socket, is its own key.
    """
    found = _parse(address)
    if not isinstance(found, IPv6Address):
        return address if found is None else str(found)
    if found in _NAT64:
        return str(IPv4Address(int(found) & 0xFFFF_FFFF))
    return str(IPv6Network((int(found), ipv6_prefix), strict=False))
