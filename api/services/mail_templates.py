"""Templates of mails: a subject, a text and an HTML page for each language, and a folder that overrides files."""

import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from api.services import landing_pages, outbox

SAMPLES: dict[str, dict[str, Any]] = {
    "account_created": {"code": "K7QF-3M9T-XD4B", "days": 7, "username": "alice"},
    "account_deleted": {},
    "already_registered": {},
    "api_key_created": {"key": "charter_key_7Hq2", "until": "2026-05-01 12:00 UTC"},
    "confirm_new_email": {"code": "K7QF-3M9T-XD4B", "minutes": 60},
    "deletion_requested": {"code": "K7QF-3M9T-XD4B", "until": "2026-02-07 12:00 UTC"},
    "email_changed": {"code": "K7QF-3M9T-XD4B", "days": 7},
    "invitation": {"code": "K7QF-3M9T-XD4B", "days": 7},
    "new_log_in": {"address": "203.0.113.9", "device": "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"},
    "password_changed": {},
    "reset_password": {"code": "K7QF-3M9T-XD4B", "minutes": 60},
    "sign_up": {"code": "K7QF-3M9T-XD4B", "minutes": 60},
    "test": {},
    "verify_email": {"code": "K7QF-3M9T-XD4B", "hours": 24},
}
"""The names of all templates, with sample facts."""
_ACTIONS = {
    "account_created": "reset-password",
    "confirm_new_email": "confirm-email",
    "deletion_requested": "restore-account",
    "email_changed": "revert-email",
    "invitation": "sign-up",
}
"""The `{action}` of a link, where it differs from the name of the template."""
_COMMON = {"time": "2026-01-31 12:00 UTC"}


class Rendered(NamedTuple):
    """A mail without its headers."""

    subject: str
    text: str
    html: str


_KINDS = ("subject", "txt", "html")


class BrokenTemplate(Exception):
    """A template that cannot be rendered. The message names the file and the line."""


class Templates:
    """Renders mails. `service` is the name of the service, and `link_url` has the placeholders action and code."""

    def __init__(self, shipped: Path, own: Path | None, locale: str, service: str, link_url: str) -> None:
        self._folders = [folder for folder in (own, shipped) if folder is not None]
        self._default = locale
        self._service = service
        self._link_url = link_url
        self._environment = lru_cache(self._make_environment)

    def render(self, name: str, locale: str, facts: Mapping[str, Any]) -> Rendered:
        """Return a mail in a language. Raises BrokenTemplate if a file of it cannot be rendered."""
        environment = self._environment(locale)
        own = {
            "service": self._service,
            "locale": locale,
            "link": self._link(name, facts),
            "page": f"/{action_of(name)}",
        }
        values = {**own, **_COMMON, **facts}
        subject, text, html = (_rendered(environment, f"{name}.{kind}", values) for kind in _KINDS)
        return Rendered(" ".join(subject.split()), text.strip() + "\n", html.strip() + "\n")

    @property
    def locales(self) -> tuple[str, ...]:
        """Return the languages for which there are templates, with the default one first."""
        return outbox.locales_of(self._folders, self._default)

    def check(self) -> None:
        """Render each template in each language. Raises BrokenTemplate for the first fault.

        A language without all its files would be mixed with another one.
        """
        for locale in self.locales:
            for name, facts in SAMPLES.items():
                self._check_files(locale, name)
                rendered = self.render(name, locale, facts)
                if facts.get("code", "") not in rendered.text or facts.get("code", "") not in rendered.html:
                    raise BrokenTemplate(f"the mail {name} in {locale} does not show its code")
        known = {f"{name}.{kind}" for name in SAMPLES for kind in _KINDS} | {landing_pages.TEXTS}
        for file in sorted(file for locale in self.locales for file in (self._folders[0] / locale).glob("*")):
            if file.name not in known:
                raise BrokenTemplate(f"{file} is not used; the templates are {', '.join(SAMPLES)}")
            if file.name == landing_pages.TEXTS:
                _check_texts(file, self._folders[-1])

    def _check_files(self, locale: str, name: str) -> None:
        for kind in _KINDS:
            file = f"{name}.{kind}"
            if not any((place / file).is_file() for place in self._places(locale)):
                raise BrokenTemplate(f"the language {locale} lacks the template {file}")

    def _places(self, locale: str) -> list[Path]:
        return [folder / name for name in dict.fromkeys((locale, locale.partition("-")[0])) for folder in self._folders]

    def _link(self, name: str, facts: Mapping[str, Any]) -> str:
        code = facts.get("code")
        if not self._link_url or code is None:
            return ""
        return self._link_url.replace("{action}", action_of(name)).replace("{code}", code)

    def _make_environment(self, locale: str) -> ImmutableSandboxedEnvironment:
        # A mail may be in a language that was removed since its request.
        places = [*self._places(locale), *self._places(self._default)]
        return ImmutableSandboxedEnvironment(
            loader=FileSystemLoader([*places, *self._folders]),
            undefined=StrictUndefined,
            autoescape=lambda name: bool(name) and str(name).endswith(".html"),
            trim_blocks=True,
            lstrip_blocks=True,
        )


def _check_texts(file: Path, shipped: Path) -> None:
    try:
        landing_pages.check_texts(file, shipped)
    except landing_pages.BrokenTexts as error:
        raise BrokenTemplate(str(error)) from error


def action_of(name: str) -> str:
    """Return the name of the page that the link in a mail leads to."""
    return _ACTIONS.get(name, name.replace("_", "-"))


def _rendered(environment: Environment, file: str, values: Mapping[str, Any]) -> str:
    """Return the text of a template. Raises BrokenTemplate for every error, because a template is a program."""
    try:
        return environment.get_template(file).render(values)
    # An expression of a template can raise anything, such as a TypeError. A file can be unreadable.
    except Exception as error:
        raise BrokenTemplate(f"{_place(error) or f'{file}: '}{_reason(error)}") from error


def _place(error: Exception) -> str:
    """Return the file and the line of an error, if it has them."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename}:{error.lineno}: "
    # Jinja adds the lines of the templates to the traceback.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(_KINDS)]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


def _reason(error: Exception) -> str:
    """Return the reason of an error in one line."""
    text = error.message if isinstance(error, TemplateError) else str(error)
    return " ".join((text or type(error).__name__).split())
