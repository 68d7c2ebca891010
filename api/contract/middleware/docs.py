"""The documentation page: Swagger UI, served from an installed package with a strict Content-Security-Policy."""

from collections.abc import Callable
from functools import cache, partial
from html import escape
from importlib.resources import files
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from api.contract.http.response import Response, raw_headers, respond
from api.errors import MethodNotAllowed

_PATH = "/docs"
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="stylesheet" href="docs/index.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayOperationId: true,
  displayRequestDuration: true,
  showExtensions: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "png": "image/png"}
_VENDORED = ("favicon-32x32.png", "index.css", "swagger-ui-bundle.js", "swagger-ui.css")


def is_docs(path: str, prefix: str) -> bool:
    """Return True if the path belongs to the documentation page, not to the contract."""
    return path == f"{prefix}{_PATH}" or path.startswith(f"{prefix}{_PATH}/")


class DocsMiddleware:
    """Serves `GET /docs` and the files that the page needs. All other requests go to the next layer.

    `prefix` is the path of the contract's first server. The page is below it, and reads `openapi.json` beside itself.
    """

    def __init__(self, app: ASGIApp, title: str, prefix: str) -> None:
        self.app = app
        self._page = page = quote(prefix) + _PATH
        self._files: dict[str, Callable[[], bytes]] = {f"{page}/{name}": partial(_read, name) for name in _VENDORED}
        self._files[f"{page}/start.js"] = _START.encode
        self._files[page] = _PAGE.format(title=escape(title)).encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1") if scope["type"] == "http" else ""
        if path not in self._files:
            await self.app(scope, receive, send)
            return
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed(["GET", "HEAD"])
        await respond(send, self._response(path))

    def _response(self, path: str) -> Response:
        body = self._files[path]()
        if path == self._page:
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": _POLICY}
        else:
            media_type = _MEDIA_TYPES[path.rpartition(".")[2]]
            headers = {"Content-Type": media_type, "Cache-Control": "public, max-age=3600"}
        return Response(200, raw_headers([*headers.items(), ("Content-Length", str(len(body)))]), body)


@cache
def _read(name: str) -> bytes:
    """Return a file of Swagger UI.

    Files are read on first use: only processes that have served the page hold all 1.8 MB in memory.
    """
    return (files("flask_swagger_ui") / "dist" / name).read_bytes()
