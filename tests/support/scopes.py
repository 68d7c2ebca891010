"""The scopes of a user's tokens. They come from the contract, because the scopes of your operations join Charter's."""

from api import contract
from api.config.paths import resource_dir

USER_SCOPE = " ".join(sorted(contract.load(resource_dir("openapi")).roles["user"]))
DOCUMENTED_SCOPE = "keys password profile sessions"
"""The scopes in the examples of the contract and of the documentation."""
