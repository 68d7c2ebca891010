"""The front ends: the web pages that may use the refresh token in a cookie."""

from collections.abc import Set

from api.errors import ForeignOrigin


class FrontEnds:
    """The origins of the front ends. Browsers send cookies with requests of any page, so each request is checked."""

    def __init__(self, origins: Set[str]) -> None:
        self._origins = origins

    def check(self, origin: str | None, fetch_site: str | None) -> None:
        """Check the headers `Origin` and `Sec-Fetch-Site` of a request. Raises ForeignOrigin.

        Browsers set both, and scripts cannot. The second one counts only without the first. A request without both is
        refused: other clients need no cookie.
        """
        is_known = fetch_site == "same-origin" if origin is None else origin in self._origins
        if not is_known:
            raise ForeignOrigin()
