"""Tests that measure time, kill processes, flood the server or fuzz for long. `make soak` runs them one at a time."""
