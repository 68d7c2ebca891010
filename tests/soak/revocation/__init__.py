"""Measure how soon another process rejects the token of a session that was logged out, and whether it always does."""
