"""The address of a client behind proxies: only trusted proxies determine it, and only by their own entries."""

import pytest
from starlette.types import Scope

from api.contract.http.addresses import address_key
from api.contract.http.client_addresses import ClientAddresses
from api.errors import MalformedRequest

PROXY, CLIENT = "10.0.0.1", "203.0.113.7"


def scope(peer: str | None, *lines: str, header: str = "x-forwarded-for") -> Scope:
    """Return the part of a request that decides about its address."""
    headers = [(header.encode(), line.encode("latin-1")) for line in lines]
    return {"client": (peer, 50_000) if peer is not None else None, "headers": headers}


def found(clients: ClientAddresses, request: Scope) -> str | None:
    """Check a request, and return the address of its client."""
    clients.check(request, dict(request["headers"]))
    return clients.find(request)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], PROXY),
        ([""], PROXY),
        ([CLIENT], CLIENT),
        ([f"9.9.9.9, {CLIENT}"], CLIENT),
        ([f"9.9.9.9,{CLIENT},10.0.0.2"], CLIENT),
        ([f"9.9.9.9\t,\t{CLIENT} , ,10.0.0.2,"], CLIENT),
        (["9.9.9.9", CLIENT], CLIENT),
        ([CLIENT, "10.0.0.2, 10.0.0.3"], CLIENT),
        # All entries are trusted.
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # An invalid entry ends the search at the last good one.
        (["9.9.9.9, unknown"], PROXY),
        (["9.9.9.9, _hidden, 10.0.0.2"], "10.0.0.2"),
        (["9.9.9.9, 1.2.3.4.5, 10.0.0.2"], "10.0.0.2"),
        (["9.9.9.9, 203.0.113.07"], PROXY),
        (["9.9.9.9, \xff\xb2"], PROXY),
        (["9.9.9.9, " + "1" * 5000], PROXY),
        (["9.9.9.9, unix:"], PROXY),
        ([f"{CLIENT}:5678"], CLIENT),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["[2001:DB8:0:0::1]"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["fe80::1%eth0"], "fe80::1"),
        (["[fe80::1%25eth0]:80"], "fe80::1"),
        ([f"::ffff:{CLIENT}"], CLIENT),
        ([f"{CLIENT}, ::ffff:10.0.0.2"], CLIENT),
    ],
)
def test_the_last_entry_of_an_untrusted_address_is_the_client(lines: list[str], expected: str) -> None:
    clients = ClientAddresses(["10.0.0.0/8"])
    assert found(clients, scope(PROXY, *lines)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"for={CLIENT}"], CLIENT),
        ([f"For={CLIENT};proto=http;by=10.0.0.1"], CLIENT),
        ([f"by=10.0.0.1 ; for={CLIENT}"], CLIENT),
        (['for="[2001:db8:1:2::5]:80"'], "2001:db8:1:2::5"),
        ([f'for="{CLIENT}:_port"'], CLIENT),
        (['for="2\\03.0.113.7"'], CLIENT),
        ([f"for=9.9.9.9, for={CLIENT}", "for=10.0.0.2"], CLIENT),
        # A quoted string may contain a comma.
        ([f'for={CLIENT};host="a, for=9.9.9.9"'], CLIENT),
        ([f'for={CLIENT};host="a\\", for=9.9.9.9"'], CLIENT),
        # An open quotation mark must not swallow the entry of the proxy.
        ([f'for="x, for={CLIENT}'], CLIENT),
        (['for=9.9.9.9;x=", for="[2001:db8::1]:80"'], "2001:db8::1"),
        (["for=9.9.9.9, for=unknown"], PROXY),
        (["for=9.9.9.9, for=_hidden"], PROXY),
        (["for=9.9.9.9, proto=https"], PROXY),
        ([f"for=9.9.9.9, for={CLIENT};for=1.1.1.1"], PROXY),
        (["for=9.9.9.9, for=[2001:db8::1]"], PROXY),
        (["for=9.9.9.9, 203.0.113.7"], PROXY),
        ([f", for={CLIENT},,"], CLIENT),
    ],
)
def test_forwarded_is_read_as_rfc_7239_defines_it(lines: list[str], expected: str) -> None:
    clients = ClientAddresses(["10.0.0.0/8"], "forwarded")
    assert found(clients, scope(PROXY, *lines, header="forwarded")) == expected


def test_only_the_configured_header_counts() -> None:
    clients = ClientAddresses([PROXY], "x-real-ip")
    assert found(clients, scope(PROXY, CLIENT)) == PROXY
    assert found(clients, scope(PROXY, CLIENT, header="x-real-ip")) == CLIENT


@pytest.mark.parametrize("trusted", [(), ("10.0.0.2", "2001:db8::/32", "unix")])
def test_a_peer_that_is_not_trusted_is_the_client_and_is_reported(trusted: tuple[str, ...]) -> None:
    ignored: list[tuple[str | None, str]] = []
    clients = ClientAddresses(trusted, on_ignored=lambda *facts: ignored.append(facts))
    assert found(clients, scope(PROXY)) == PROXY
    assert found(clients, scope("fe80::1%eth0")) == "fe80::1"
    assert ignored == []
    names = ["x-forwarded-for", "forwarded", "x-real-ip"]
    for name in names:
        # The number of entries does not matter, because none is read.
        assert found(clients, scope(PROXY, "9.9.9.9" + ",9.9.9.9" * 30, header=name)) == PROXY
    assert ignored == [(PROXY, name) for name in names]


def test_a_peer_on_a_unix_socket_is_trusted_by_name() -> None:
    assert found(ClientAddresses(["127.0.0.1"]), scope(None, CLIENT)) is None
    clients = ClientAddresses(["unix"])
    assert found(clients, scope(None)) is None
    assert found(clients, scope(None, f"9.9.9.9, {CLIENT}")) == CLIENT
    # nginx writes such an entry if its own client is on a Unix socket.
    assert found(clients, scope(None, f"{CLIENT}, unix:")) == CLIENT
    assert found(clients, scope(None, "unknown")) is None


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_more_than_20_entries_are_rejected(header: str) -> None:
    clients = ClientAddresses(["10.0.0.0/8"], header)
    entry = "for=10.0.0.2" if header == "forwarded" else "10.0.0.2"
    assert found(clients, scope(PROXY, *[entry] * 20, header=header)) == "10.0.0.2"
    for lines in ([",".join([entry] * 21)], [entry] * 21, ["," * 16_000]):
        request = scope(PROXY, *lines, header=header)
        assert clients.find(request) in {"10.0.0.2", PROXY}
        with pytest.raises(MalformedRequest, match="MALFORMED_REQUEST"):
            clients.check(request, dict(request["headers"]))


@pytest.mark.parametrize(
    ("address", "prefix", "key"),
    [
        ("203.0.113.7", 64, "203.0.113.7"),
        ("203.0.113.7", 48, "203.0.113.7"),
        ("::ffff:203.0.113.7", 64, "203.0.113.7"),
        ("64:ff9b::203.0.113.7", 64, "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::/48"),
        ("2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6/128"),
        ("", 64, ""),
    ],
)
def test_the_key_of_an_address_is_its_network(address: str, prefix: int, key: str) -> None:
    assert address_key(address, prefix) == key


def test_20_addresses_of_one_network_have_one_key() -> None:
    assert len({address_key(f"2001:db8:1:2::{number:x}") for number in range(20)}) == 1
    assert address_key("::ffff:203.0.113.8") != address_key("::ffff:203.0.113.7") == address_key("203.0.113.7")
