"""The scopes of a user's tokens. They come from the contract, because the scopes of your operations join Charter's."""

from tests.support.shipped import CONTRACT

USER_SCOPE = " ".join(sorted(CONTRACT.roles["user"]))
DOCUMENTED_SCOPE = "keys password profile sessions"
"""The scopes in the examples of the contract and of the documentation."""
