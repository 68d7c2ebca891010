"""Methods and request targets that two parsers would read differently."""

from random import Random
from urllib.parse import quote

from tests.soak.abuse.marks import Marks

_PATHS = [
    "/ping", "/ready", "/protected", "/openapi.json", "/docs", "/docs/start.js", "/.well-known/jwks.json",
    "/api/v1/me", "/api/v1/me/password", "/api/v1/sessions", "/api/v1/sessions/019b2c9e-8a10-7f52-b1c6-5d2e7a9f0b34",
    "/api/v1/auth/signup", "/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout",
]  # fmt: skip
_PIECES = [
    "/", "//", "/./", "/../", "/%2e%2e/", "/..;/", "%2F", "%5c", "\\", "%00", "%0d%0aX-A:%20b", "%", "%zz", "%u0041",
    "%ff", "%c0%af", "%e2%80%ae", "%f0%9f%98%80", "{id}", "%7Bid%7D", "{{7*7}}", "${jndi:x}", "<script>", "'--", ";a=b",
    ":", "@", "~", "|", "^", "`", "*", "+", "%20", "%2525", ".json", ".", "..", "%ef%bc%8f", "\xe4", "\xff", "A" * 300,
]  # fmt: skip
_WHOLE = [
    "*", "", "/", "//", "///", "//evil.example/ping", "http://evil.example/ping", "HTTP://a/ping", "http://a",
    "http:///ping", "https://user@a:99999/ping", "ping", "?", "/?", "a:80", "[::1]:80", "ftp://x/", "javascript:1",
    "/" + "a/" * 3000, "/" + "%41" * 2000, "/" + "x" * 20_000, "/ping\t", "/ping HTTP/1.0", "\\", "http://a:b:c/ping",
]  # fmt: skip
_QUERIES = [
    "", "?", "?&", "?a", "?a=1&a=2", "?limit=1_0", "?limit=1&cursor={}", "?access_token={}", "?password={}", "?q={}%00",
    "?%ff={}",
    "?{}=\xe4", "?q={}#x", "#x{}", "?q={}?{}", "?" + "&" * 3000, "?a[]={}", "?q=%0d%0aSet-Cookie:{}", "?;{}", "?q=%{}",
    "?={}",
]  # fmt: skip
METHODS = [
    "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "PURGE",
    "BREW", "get", "Post", "G", "X" * 300, "GET!", "PRI", "SOURCE", "QUERY", "M-SEARCH", "SUBSCRIBE", "LINK",
]  # fmt: skip


def mutated(rng: Random, marks: Marks) -> str:
    """Return a target, latin-1 for bytes. Words in its query are secrets, words in its path are not."""
    if rng.random() < 0.2:
        return rng.choice(_WHOLE)
    path = rng.choice(_PATHS)
    if rng.random() < 0.3:
        path += f"/{marks.path(rng)}"
    for _ in range(rng.randint(0, 2)):
        place = rng.randint(0, len(path))
        path = path[:place] + rng.choice(_PIECES) + path[place:]
    if rng.random() < 0.1:
        place = rng.randrange(len(path))
        path = path[:place] + quote(path[place], safe="") + path[place + 1 :]
    return path + rng.choice(_QUERIES).replace("{}", marks.secret(rng))
