"""Parsers for settings that name other hosts: trusted proxies, and the origins of browsers."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

_MAPPED = IPv6Network("::ffff:0:0/96")
# RFC 6454, section 6.1: a scheme, a host and an optional port. Browsers send all of them in lower case.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?")
# Secure Contexts, section 3.1: these are trustworthy without encryption.
_LOCAL = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


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


def cors_origins(text: str) -> tuple[str, ...]:
    """Parse a list of origins, separated by commas."""
    return tuple(dict.fromkeys(_origin(part.strip()) for part in text.split(",")))


def _origin(text: str) -> str:
    if "*" in text:
        raise ValueError(f"a list of exact origins, not {text}: any site could then call the API for its visitors")
    if text == "null":
        raise ValueError("a list of origins, not null: files and sandboxed frames of any site send that origin")
    if text.endswith("/") and _ORIGIN.fullmatch(text.rstrip("/")):
        raise ValueError(f"a list of origins without a slash at the end, as browsers send them: {text.rstrip('/')}")
    found = _ORIGIN.fullmatch(text)
    if found is None:
        if _ORIGIN.fullmatch(text.lower()):
            raise ValueError(f"a list of origins in lower case, as browsers send them: {text.lower()}")
        form = "a scheme, a host and an optional port, such as https://app.example.com"
        raise ValueError(f"a list of origins, each with {form}: not {text}")
    port, scheme = (found[2] or "").removeprefix(":"), text.partition(":")[0]
    if port and port == _DEFAULT_PORTS.get(scheme):
        raise ValueError(
            f"a list of origins without default ports, as browsers send them: {text.removesuffix(found[2])}"
        )
    return text


def origin_of(url: str) -> str:
    """Return the origin of the pages below a URL, as browsers send it."""
    scheme, _, rest = url.lower().partition("://")
    return f"{scheme}://{rest.partition('/')[0].removesuffix(f':{_DEFAULT_PORTS[scheme]}')}"


def keeps_cookies_secret(url: str) -> bool:
    """Return True if browsers accept cookies with `Secure` from this URL: from https, and from the same host."""
    return _LOCAL.fullmatch(origin_of(url)) is not None if url.startswith("http:") else bool(url)
