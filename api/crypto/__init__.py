"""Passwords, keys, tokens and cursors; no input or output except the secret files."""
