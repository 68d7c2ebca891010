"""Settings that name other hosts: trusted proxies, and the origins of browsers."""

import pytest

from api.config import ConfigError, read

SECRETS = {"CHARTER_SECRET": bytes(range(32)).hex(), "CHARTER_PEPPER": bytes(range(32, 64)).hex()}
SHARED = {"DATABASE_URL": "postgresql://db.example/charter", **SECRETS}
FORGED = "any client could then choose the address that is logged and limited; name the address of your proxy"


def rejection(name: str, text: str) -> str:
    """Return the error message for a setting, without its name."""
    with pytest.raises(ConfigError) as caught:
        read(SHARED | {name: text})
    return str(caught.value).removeprefix(f"{name} must be a list of ").strip().strip()


@pytest.mark.parametrize(
    ("text", "proxies"),
    [
        ("", ()),
        ("127.0.0.1", ("127.0.0.1",)),
        ("10.0.0.0/8, ::1 ,unix,::1", ("10.0.0.0/8", "::1", "unix")),
        ("2001:DB8::/32", ("2001:db8::/32",)),
    ],
)
def test_trusted_proxies_are_addresses_networks_and_unix(text: str, proxies: tuple[str, ...]) -> None:
    assert read(SHARED | {"CHARTER_TRUSTED_PROXIES": text})["trusted_proxies"] == proxies


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("*", f"proxies, not *: {FORGED}"),
        ("127.0.0.1,0.0.0.0/0", f"proxies, not 0.0.0.0/0: {FORGED}"),
        ("::/0", f"proxies, not ::/0: {FORGED}"),
        ("10.0.0.1/8", "networks without host bits: 10.0.0.0/8, not 10.0.0.1/8"),
        ("::ffff:10.0.0.1", "proxies, those of IPv4 in the form 10.0.0.0/8: not ::ffff:10.0.0.1"),
        ("proxy", "addresses, networks and unix, such as 10.0.0.0/8,::1: not proxy"),
        ("127.0.0.1,", "addresses, networks and unix, such as 10.0.0.0/8,::1: not "),
        ("127.0.0.1:80", "addresses, networks and unix, such as 10.0.0.0/8,::1: not 127.0.0.1:80"),
    ],
)
def test_other_proxies_are_rejected_with_the_reason(text: str, reason: str) -> None:
    assert rejection("CHARTER_TRUSTED_PROXIES", text) == reason.strip()


def test_the_prefix_of_ipv6_is_between_48_and_128() -> None:
    for text in ("47", "129", "/64"):
        with pytest.raises(ConfigError, match="CHARTER_IPV6_PREFIX must be a whole number from 48 to 128"):
            read(SHARED | {"CHARTER_IPV6_PREFIX": text})


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://app.example.com", ("https://app.example.com",)),
        ("http://localhost:5173 , http://[::1]:8080", ("http://localhost:5173", "http://[::1]:8080")),
        ("capacitor://localhost", ("capacitor://localhost",)),
    ],
)
def test_origins_are_exact(text: str, origins: tuple[str, ...]) -> None:
    assert read(SHARED | {"CHARTER_CORS_ORIGINS": text})["cors_origins"] == origins


ORIGIN = "origins, each with a scheme, a host and an optional port, such as https://app.example.com"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("*", "exact origins, not *: any site could then call the API for its visitors"),
        (
            "https://*.example.com",
            "exact origins, not https://*.example.com: any site could then call the API for its visitors",
        ),
        ("null", "origins, not null: files and sandboxed frames of any site send that origin"),
        ("https://a.example/", "origins without a slash at the end, as browsers send them: https://a.example"),
        ("https://A.example", "origins in lower case, as browsers send them: https://a.example"),
        ("https://a.example:443", "origins without default ports, as browsers send them: https://a.example"),
        ("http://a.example:80", "origins without default ports, as browsers send them: http://a.example"),
        ("https://a.example/app", f"{ORIGIN}: not https://a.example/app"),
        ("a.example", f"{ORIGIN}: not a.example"),
        ("https://a.example,", f"{ORIGIN}: not"),
        ("https://m\u00fcller.example", f"{ORIGIN}: not https://m\u00fcller.example"),
        ("https://a.example https://b.example", f"{ORIGIN}: not https://a.example https://b.example"),
    ],
)
def test_other_origins_are_rejected_with_the_reason(text: str, reason: str) -> None:
    assert rejection("CHARTER_CORS_ORIGINS", text) == reason
