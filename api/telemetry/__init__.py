"""Optional exports: metrics and traces."""
