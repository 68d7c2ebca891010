"""The landing pages of links in mails, with their script and their style sheet."""

from api.services.landing_pages import LandingPages

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# The code is in the fragment, which no header contains. These headers keep other pages away from it.
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def show_reset_password_page(landing_pages: LandingPages, accept_language: str | None) -> tuple[str, dict[str, str]]:
    return landing_pages.render("reset_password", accept_language), _HEADERS


def show_verify_email_page(landing_pages: LandingPages, accept_language: str | None) -> tuple[str, dict[str, str]]:
    return landing_pages.render("verify_email", accept_language), _HEADERS


def show_sign_up_page(landing_pages: LandingPages, accept_language: str | None) -> tuple[str, dict[str, str]]:
    return landing_pages.render("sign_up", accept_language), _HEADERS


def show_confirm_email_page(landing_pages: LandingPages, accept_language: str | None) -> tuple[str, dict[str, str]]:
    return landing_pages.render("confirm_email", accept_language), _HEADERS


def show_revert_email_page(landing_pages: LandingPages, accept_language: str | None) -> tuple[str, dict[str, str]]:
    return landing_pages.render("revert_email", accept_language), _HEADERS


def show_restore_account_page(landing_pages: LandingPages, accept_language: str | None) -> tuple[str, dict[str, str]]:
    return landing_pages.render("restore_account", accept_language), _HEADERS


def get_page_script(landing_pages: LandingPages) -> str:
    return landing_pages.asset("page.js")


def get_page_style(landing_pages: LandingPages) -> str:
    return landing_pages.asset("page.css")
