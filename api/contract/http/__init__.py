"""Parts of HTTP: framing, headers, client addresses, trace contexts."""
