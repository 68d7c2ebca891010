"""What HTTP defines: framing, headers, client addresses, trace contexts."""
