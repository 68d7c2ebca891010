"""Observers of all requests: the request log, and the optional metrics and traces."""
