"""The ASGI layers that a request passes before its handler."""
