"""Call the handler of an operation on Flask."""
