"""The metadata of the authorization server (RFC 8414)."""

import re
from collections.abc import Iterable
from typing import Any

from api.errors import NotFound

# RFC 8414, section 2: the issuer has no query and no fragment.
_URL = re.compile("https?://[^?#]+")


def get(metadata: dict[str, Any] | None) -> dict[str, Any]:
    """Return the metadata. Raises NotFound if the issuer is not a URL."""
    if metadata is None:
        raise NotFound()
    return metadata


def describe(issuer: str, public_url: str, scopes: Iterable[str]) -> dict[str, Any] | None:
    """Return the metadata, or None if the issuer is not a URL. Without a public URL, the issuer is the address."""
    if not _URL.fullmatch(issuer):
        return None
    base = public_url or issuer.rstrip("/")
    return {
        "issuer": issuer,
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "token_endpoint": f"{base}/oauth/token",
        "introspection_endpoint": f"{base}/oauth/introspect",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": sorted(scopes),
    }
