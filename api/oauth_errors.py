"""The errors that only operations of the tag `oauth` return, with the codes of RFC 6749, section 5.2."""

from api.errors import BadRequest, Unauthorized


class InvalidScope(BadRequest):
    code = "INVALID_SCOPE"
    message = "The service account does not have all of these scopes."
    oauth_error = "invalid_scope"


class UnsupportedGrantType(BadRequest):
    code = "UNSUPPORTED_GRANT_TYPE"
    message = "The grant_type must be client_credentials."
    oauth_error = "unsupported_grant_type"


class UnsupportedTokenType(BadRequest):
    """A credential that this service does not revoke by itself (RFC 7009, section 2.2.1)."""

    code = "UNSUPPORTED_TOKEN_TYPE"
    message = "Tokens and secrets of a service account are not revoked here. Disable or delete the account."
    oauth_error = "unsupported_token_type"


class InvalidClient(Unauthorized):
    """The `client_id` or the `client_secret` of a service account is wrong, or the account is disabled."""

    code = "INVALID_CLIENT"
    message = "The service account is unknown or disabled, or its secret is wrong or expired."
