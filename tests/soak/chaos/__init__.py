"""Check that no acknowledged write is lost and no request waits long while parts of the service die."""
