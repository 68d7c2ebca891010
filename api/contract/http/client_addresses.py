"""The address of the client of a request, also behind trusted proxies."""

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from ipaddress import ip_address, ip_network
from itertools import islice

from starlette.types import Scope

from api.contract.http.addresses import canonical
from api.contract.http.forwarded import MOST_ENTRIES, forwarded_from_right, listed_from_right
from api.contract.http.framing import Fields
from api.errors import MalformedRequest

_FORWARDED_FOR, _FORWARDED, _REAL_IP = b"x-forwarded-for", b"forwarded", b"x-real-ip"
# nginx writes this for a client on a Unix socket.
_UNIX_ENTRY = "unix:"


class ClientAddresses:
    """Finds the address of the client that sent a request.

    `trusted` are the addresses and networks of proxies, and `unix` for all clients of a Unix socket. If the peer is one
    of them, the address comes from the last entries of `header`, one of `x-forwarded-for`, `forwarded` and `x-real-ip`.
    `on_ignored` is called with the peer and the name of the header if another peer sends one of these headers.
    """

    def __init__(
        self,
        trusted: Collection[str] = (),
        header: str = "x-forwarded-for",
        on_ignored: Callable[[str | None, str], object] | None = None,
    ) -> None:
        self._networks = [ip_network(proxy) for proxy in trusted if proxy != "unix"]
        self._trusts_unix = "unix" in trusted
        self._trusts_any = bool(trusted)
        self._header = header.encode()
        self._entries = forwarded_from_right if self._header == _FORWARDED else listed_from_right
        self._on_ignored = on_ignored
        # Cached: comparing an address with the networks takes 3 us or more.
        self._is_trusted_address = lru_cache(4096)(self._is_in_networks)

    def find(self, scope: Scope) -> str | None:
        """Return the address of the client, or None if that is unknown, as on a Unix socket."""
        peer = _peer(scope)
        if not self._trusts_any or not self._is_trusted(peer):
            return peer
        return self._walk(peer, scope)

    def check(self, scope: Scope, fields: Fields) -> None:
        """Report a forwarded header of a peer that is not trusted.

        Raises MalformedRequest if a trusted peer sends too many entries.
        """
        # The three tests take 0.1 us, and most requests without a proxy end here.
        if _FORWARDED_FOR not in fields and _FORWARDED not in fields and _REAL_IP not in fields:
            return
        peer = _peer(scope)
        if not (self._trusts_any and self._is_trusted(peer)):
            name = next(name for name in (_FORWARDED_FOR, _FORWARDED, _REAL_IP) if name in fields)
            if self._on_ignored is not None:
                self._on_ignored(peer, name.decode())
        elif sum(line.count(",") + 1 for line in self._lines(scope)) > MOST_ENTRIES:
            raise MalformedRequest(f"The header {self._header.decode()} has more than {MOST_ENTRIES} entries.")

    def _walk(self, peer: str | None, scope: Scope) -> str | None:
        """Return the last address that a trusted proxy has added: a proxy confirms only the entry that it has added."""
        client = peer
        for entry in islice(self._from_right(scope), MOST_ENTRIES):
            if entry == _UNIX_ENTRY and self._trusts_unix:
                continue
            address = canonical(entry)
            if address is None:
                break
            client = address
            if not self._is_trusted_address(address):
                break
        return client

    def _from_right(self, scope: Scope) -> Iterator[str]:
        for line in reversed(self._lines(scope)):
            yield from self._entries(line)

    def _lines(self, scope: Scope) -> list[str]:
        """Return the lines of the header, which are one list (RFC 9110, section 5.3)."""
        return [value.decode("latin-1") for name, value in scope["headers"] if name == self._header]

    def _is_trusted(self, peer: str | None) -> bool:
        return self._is_trusted_address(peer) if peer else self._trusts_unix

    def _is_in_networks(self, text: str) -> bool:
        address = canonical(text)
        return address is not None and any(ip_address(address) in network for network in self._networks)


def _peer(scope: Scope) -> str | None:
    """Return the address of the peer, without the zone, which is valid on this host only (RFC 6874)."""
    client = scope.get("client")
    return client[0].partition("%")[0] if client else None
