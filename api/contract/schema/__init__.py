"""Validate requests and responses, and serialize results, by the schemas of the contract."""
