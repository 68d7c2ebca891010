"""Parsers for settings that name trusted proxies."""

from ipaddress import IPv4Network, IPv6Network, ip_network

_MAPPED = IPv6Network("::ffff:0:0/96")


def trusted_proxies(text: str) -> tuple[str, ...]:
    """Parse a list of addresses, networks and the word `unix`, separated by commas."""
    return tuple(dict.fromkeys(_proxy(part.strip()) for part in text.split(",")))


def _proxy(text: str) -> str:
    if text == "unix":
        return text
    if text == "*":
        raise ValueError(f"a list of proxies, not *: {_FORGED}")
    network = _network(text)
    if network.prefixlen == 0:
        raise ValueError(f"a list of proxies, not {text}: {_FORGED}")
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise ValueError(f"a list of proxies, those of IPv4 in the form 10.0.0.0/8: not {text}")
    # A single address is shown without its length.
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


_FORGED = "any client could then choose the address that is logged and limited; name the address of your proxy"


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"a list of addresses, networks and unix, such as 10.0.0.0/8,::1: not {text}") from None
    raise ValueError(f"a list of networks without host bits: {meant}, not {text}")
