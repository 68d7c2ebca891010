"""The headers for browsers: those that all APIs use, and those that a contract declares."""

from api.contract import Contract, Cors

ORIGIN = "https://app.example.com"
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Notes", "version": "1"},
    "paths": {
        "/notes": {
            "get": {
                "tags": ["notes"],
                "operationId": "listNotes",
                "parameters": [
                    {"name": "X-Tenant", "in": "header", "schema": {"type": "string"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
                ],
                "responses": {
                    "200": {"description": "", "headers": {"ETag": {}, "Cache-Control": {}}},
                    "415": {"description": "", "headers": {"Accept": {}, "Access-Control-Allow-Origin": {}}},
                },
            }
        }
    },
    "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
}


def test_declared_headers_can_be_sent_and_read() -> None:
    cors = Cors([ORIGIN], Contract(DOCUMENT))
    response = dict(cors.complete([], ORIGIN.encode()))
    assert response[b"access-control-expose-headers"] == (
        b"etag, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-request-id"
    )
    assert dict(cors.preflight(ORIGIN.encode(), ["GET", "HEAD"])) == {
        b"access-control-allow-methods": b"GET, HEAD",
        b"access-control-allow-headers": b"authorization, content-type, idempotency-key, traceparent, x-key, x-tenant",
        b"access-control-max-age": b"600",
    }


def test_vary_names_the_origin_beside_other_headers() -> None:
    cors = Cors([ORIGIN], Contract(DOCUMENT))
    for origin in (None, b"https://evil.example"):
        assert cors.complete([(b"vary", b"Accept")], origin) == [(b"vary", b"Accept, Origin")]
