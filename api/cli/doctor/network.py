"""Checks of the settings that name proxies and browsers."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from api.cli.doctor.finding import Finding, ok, warning
from api.config import Config


def run_checks(settings: Config) -> Iterator[Finding]:
    """Yield a finding about trusted proxies, and one about the origins of browsers."""
    yield _proxies(settings)
    yield _origins(settings)


def is_loopback(host: str) -> bool:
    """Return True if only this host can connect to that name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origins(settings: Config) -> Finding:
    is_public = settings.public_url.startswith("https:")
    for origin in settings.cors_origins:
        url = urlsplit(origin)
        is_local = is_loopback(url.hostname or "")
        if url.scheme == "http" and not is_local:
            return warning("origins", f"{origin} is not encrypted, so an attacker can change its pages; use https")
        if url.scheme == "http" and is_public:
            fact = f"{origin} lets every program on a user's computer call the API"
            return warning("origins", f"{fact}; remove it from CHARTER_CORS_ORIGINS in production")
        if settings.public_url == origin or settings.public_url.startswith(f"{origin}/"):
            return warning("origins", f"{origin} is the origin of Charter itself, which needs no permission; remove it")
    return ok("origins", ", ".join(settings.cors_origins) or "none")


def _proxies(settings: Config) -> Finding:
    trusted = settings.trusted_proxies
    listens_on_socket = settings.socket_path is not None
    if listens_on_socket and "unix" not in trusted:
        fact = "clients of a Unix socket have no address of their own"
        return warning("proxies", f"{fact}; add unix to CHARTER_TRUSTED_PROXIES if only your proxy can use the socket")
    if trusted == ("unix",) and not listens_on_socket:
        return warning("proxies", f"unix has no effect on {settings.host}; name the address of your proxy")
    is_public = any(url.startswith("https:") for url in (settings.public_url, settings.issuer))
    if is_public and not trusted:
        fact = "HTTPS needs a proxy, and none is trusted, so all clients share its address"
        return warning("proxies", f"{fact}; set CHARTER_TRUSTED_PROXIES to the address of the proxy")
    return ok("proxies", f"{', '.join(trusted)} may state addresses in {settings.forwarded}" if trusted else "none")
