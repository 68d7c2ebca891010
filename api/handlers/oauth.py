"""Tokens for other services: client credentials, introspection, revocation and metadata."""

from typing import Any

from api.contract import nonblocking
from api.services import introspection, server_metadata, signing_keys
from api.services.authentication import Authenticator, ServiceCaller
from api.services.token_issuer import TokenIssuer
from api.storage.database import Db


def issue_token(db: Db, issuer: TokenIssuer, identity: ServiceCaller, body: dict[str, Any]) -> object:
    return issuer.issue_for_service(
        db, identity.service_id, identity.scopes, grant_type=body["grant_type"], scope=body.get("scope", "")
    )


def introspect_token(authenticator: Authenticator, body: dict[str, Any]) -> dict[str, Any]:
    return introspection.introspect(authenticator, body["token"])


def revoke_token(db: Db, authenticator: Authenticator, issuer: TokenIssuer, body: dict[str, Any]) -> None:
    introspection.revoke(db, authenticator, issuer, body["token"])


@nonblocking
def get_server_metadata(issuer_metadata: dict[str, Any] | None) -> tuple[object, dict[str, str]]:
    return server_metadata.get(issuer_metadata), {"Cache-Control": f"public, max-age={signing_keys.CACHE_SECONDS}"}
