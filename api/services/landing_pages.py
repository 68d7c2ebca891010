"""The pages that links in mails lead to: a form that sends the code of the mail to one operation."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.services import outbox

PAGES = {
    "confirm_email": "confirmEmailChange",
    "reset_password": "resetPassword",
    "restore_account": "restoreAccount",
    "revert_email": "revertEmailChange",
    "sign_up": "completeSignUp",
    "verify_email": "verifyEmail",
}
"""The pages, and the operation that each of them calls. The path of a page is its name with hyphens."""
TEXTS = "pages.toml"
"""The file with the texts of all pages in one language, in the folder of that language."""
_SHIPPED_IN = "en"
_INPUT_TYPES = {"new-password": "password"}
_AUTOCOMPLETE = {"new-password": "new-password", "username": "username"}

Json = dict[str, Any]


class Call(NamedTuple):
    """The operation that a page calls: its path, and the schemas of the properties of its body."""

    path: str
    properties: Mapping[str, Json]


class Field(NamedTuple):
    """An input of a form. `errors` is a JSON object of texts by the code of a fault."""

    name: str
    label: str
    hint: str
    type: str
    autocomplete: str
    errors: str


class BrokenTexts(Exception):
    """A file of texts that is incomplete or cannot be read. The message names the file."""


class LandingPages:
    """Renders the pages in the languages that have texts. `folders` has own files first, and then the shipped ones."""

    def __init__(
        self, assets: Path, folders: Sequence[Path], locale: str, service: str, calls: Mapping[str, Call]
    ) -> None:
        self._assets = assets
        self._folders = folders
        self._locale = locale
        self._service = service
        self._calls = calls
        self.asset = lru_cache(self._read)
        self._render = lru_cache(self._make)

    def render(self, name: str, accept_language: str | None) -> str:
        """Return a page as HTML, in the best language for this header."""
        return self._render(name, outbox.best_locale(accept_language or "", self._locales))

    def _read(self, name: str) -> str:
        """Return the script or the style sheet of all pages."""
        return (self._assets / name).read_text("utf-8")

    @cached_property
    def _locales(self) -> tuple[str, ...]:
        """The languages that have texts, with the default one first."""
        found = {file.parent.name for folder in self._folders for file in folder.glob(f"*/{TEXTS}")}
        default = outbox.best_locale(self._locale, (_SHIPPED_IN, *found))
        return default, *sorted(found - {default})

    @cached_property
    def _environment(self) -> Environment:
        return Environment(
            loader=FileSystemLoader(self._assets),
            undefined=StrictUndefined,
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def _make(self, name: str, locale: str) -> str:
        file = next(file for folder in self._folders if (file := folder / locale / TEXTS).is_file())
        texts = _filled(read_texts(file), {"service": self._service})
        call = self._calls[PAGES[name]]
        return self._environment.get_template("page.html").render(
            locale=locale,
            service=self._service,
            page=texts["pages"][name],
            common=texts["common"],
            errors=_encoded(texts["errors"]),
            path=call.path.removeprefix("/"),
            fields=[_field(property_, schema, texts) for property_, schema in call.properties.items()],
        )


def read_texts(file: Path) -> Json:
    """Return the texts of a file. Raises BrokenTexts if it is not TOML."""
    import tomllib  # noqa: PLC0415 - needed once a page is shown

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenTexts(f"{file}: {error}") from error


def check_texts(file: Path, shipped: Path) -> None:
    """Compare a file with the shipped one. Raises BrokenTexts for the first text that it lacks."""
    own, full = ({*_names(read_texts(path))} for path in (file, shipped / _SHIPPED_IN / TEXTS))
    if missing := sorted(full - own):
        raise BrokenTexts(f"{file} lacks the text {missing[0]}")


def _names(texts: Json, prefix: str = "") -> list[str]:
    """Return the names of all texts, except for errors and faults, which the API also explains."""
    found = []
    for name, value in texts.items():
        if isinstance(value, dict):
            found += [] if name in {"errors", "faults"} else _names(value, f"{prefix}{name}.")
        else:
            found.append(prefix + name)
    return found


def _field(name: str, schema: Json, texts: Json) -> Field:
    limits: dict[str, object] = {limit: schema[limit] for limit in ("minLength", "maxLength") if limit in schema}
    its = _filled(texts["fields"][name], limits)
    errors = _filled({**texts["faults"], **its.get("faults", {})}, limits)
    kind = schema.get("format", "")
    return Field(
        name,
        its["label"],
        its.get("hint", ""),
        _INPUT_TYPES.get(kind, "text"),
        _AUTOCOMPLETE.get(kind, "off"),
        _encoded(errors),
    )


def _encoded(errors: Json) -> str:
    return json.dumps(errors, ensure_ascii=False)


def _filled(texts: Json, values: Mapping[str, object]) -> Json:
    """Return the texts with values in place of the names in braces. Other braces stay."""
    return {
        name: _filled(text, values) if isinstance(text, dict) else _replaced(text, values)
        for name, text in texts.items()
    }


def _replaced(text: object, values: Mapping[str, object]) -> str:
    result = str(text)
    for name, value in values.items():
        result = result.replace(f"{{{name}}}", str(value))
    return result
