"""Checks of the settings that name proxies and browsers."""

from collections.abc import Iterator

from api.cli.doctor.finding import Finding, ok, warning
from api.config import Config


def run_checks(settings: Config) -> Iterator[Finding]:
    """Yield a finding about trusted proxies."""
    yield _proxies(settings)


def _proxies(settings: Config) -> Finding:
    trusted = settings.trusted_proxies
    listens_on_socket = settings.socket_path is not None
    if listens_on_socket and "unix" not in trusted:
        told = "clients of a Unix socket have no address of their own"
        return warning("proxies", f"{told}; add unix to CHARTER_TRUSTED_PROXIES if only your proxy can use the socket")
    if trusted == ("unix",) and not listens_on_socket:
        return warning("proxies", f"unix has no effect on {settings.host}; name the address of your proxy")
    is_public = any(url.startswith("https:") for url in (settings.public_url, settings.issuer))
    if is_public and not trusted:
        told = "HTTPS needs a proxy, and none is trusted, so all clients share its address"
        return warning("proxies", f"{told}; set CHARTER_TRUSTED_PROXIES to the address of the proxy")
    return ok("proxies", f"{', '.join(trusted)} may state addresses in {settings.forwarded}" if trusted else "none")
