"""uvicorn with limits for untrusted clients, and its workers."""
