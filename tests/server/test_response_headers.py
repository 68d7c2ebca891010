"""Security headers of responses, and the headers that they must not have."""

from collections.abc import Callable

from starlette.testclient import TestClient

from tests.support.raw_http import RawConnection, raw_request


def test_responses_do_not_name_the_server_software(connect: Callable[[], RawConnection]) -> None:
    for data in (raw_request("GET /ping"), raw_request("GET /nothing"), b"x\r\n\r\n"):
        connection = connect()
        connection.send(data)
        assert not {"server", "x-powered-by", "via"} & connection.read_response().headers.keys()


def test_json_responses_have_the_security_headers(client: TestClient) -> None:
    for path in ("/ping", "/protected", "/nothing", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_the_host_header_is_never_echoed(client: TestClient) -> None:
    for path in ("/ping/", "/nothing", "/docs", "/openapi.json"):
        response = client.get(path, headers={"Host": "evil.example", "Origin": "https://evil.example"})
        assert "evil.example" not in response.text + str(response.headers)
