"""Read the bodies of requests, one module for each kind of media type."""
