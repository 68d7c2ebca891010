"""Passwords, keys, tokens and cursors. Only the secret files cause input or output."""
