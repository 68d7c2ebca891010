"""Load the contract from `openapi/`, and check it."""
