"""Assertions on error responses."""

import httpx


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    """Assert that a response is the problem `code`, and print its body if it is another."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
