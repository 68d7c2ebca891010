"""How soon another process refuses the token of a session that was logged out, and whether it ever does not."""
