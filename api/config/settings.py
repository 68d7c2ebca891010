"""All settings. Only this module reads the environment."""

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from api.config.data_folder import unusable_for_database, writable_by_all, writable_by_group
from api.config.mail_parsers import SmtpServer, link_url, locale, mail_from, smtp_url, template_folder
from api.config.network_parsers import cors_origins, keeps_cookies_secret, origin_of, trusted_proxies
from api.config.parsers import (
    choice,
    integer,
    key_prefix,
    listen_host,
    public_url,
    rate_limits,
    socket_path,
    string_or_uri,
    traces_url,
)
from api.config.parsers import database_url as parse_database_url
from api.config.variables import misspelt, unused, without_service_links
from api.crypto.secret import GENERATE_HINT, load_or_create, parse_secret, read_secret
from api.crypto.signing_keys import ALGORITHMS

SECRETS = ("secret", "pepper")


class ConfigError(Exception):
    """Settings with which the process must not start. The message lists the errors and their remedies."""


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _setting(variable: str, parse: Callable[[str], Any], **options: Any) -> Any:
    return field(metadata={"variable": variable, "parse": parse}, **options)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings. `load` reads them from the environment, and tests build their own."""

    host: str = _setting("CHARTER_HOST", listen_host, default="127.0.0.1")
    port: int = _setting("CHARTER_PORT", integer(0, 65535), default=8000)
    data_dir: Path = _setting("CHARTER_DATA_DIR", Path, default=Path("data"))
    database_url: URL = _setting("DATABASE_URL", parse_database_url)
    database_connections: int = _setting("CHARTER_DATABASE_CONNECTIONS", integer(1, 1000), default=40)
    secret: bytes = _setting("CHARTER_SECRET", parse_secret, repr=False)
    pepper: bytes = _setting("CHARTER_PEPPER", parse_secret, repr=False)
    public_url: str = _setting("CHARTER_PUBLIC_URL", public_url, default="")
    issuer: str = _setting("CHARTER_ISSUER", string_or_uri, default="http://127.0.0.1:8000")
    audience: str = _setting("CHARTER_AUDIENCE", string_or_uri, default="charter")
    client_id: str = _setting("CHARTER_CLIENT_ID", string_or_uri, default="charter")
    access_token_seconds: int = _setting("CHARTER_ACCESS_TOKEN_SECONDS", integer(60, 86_400), default=900)
    session_idle_seconds: int = _setting("CHARTER_SESSION_IDLE_SECONDS", integer(86_400, 31_536_000), default=2_592_000)
    session_seconds: int = _setting("CHARTER_SESSION_SECONDS", integer(86_400, 31_536_000), default=7_776_000)
    refresh_grace_seconds: int = _setting("CHARTER_REFRESH_GRACE_SECONDS", integer(0, 300), default=30)
    sessions_per_user: int = _setting("CHARTER_SESSIONS_PER_USER", integer(1, 10_000), default=100)
    signing_algorithm: str = _setting("CHARTER_SIGNING_ALGORITHM", choice(*ALGORITHMS), default=ALGORITHMS[0])
    bcrypt_cost: int = _setting("CHARTER_BCRYPT_COST", integer(10, 16), default=12)
    hashes: int = _setting("CHARTER_HASHES", integer(1, 256), default_factory=_cores)
    body_bytes: int = _setting("CHARTER_BODY_BYTES", integer(1024, 16 * 1024 * 1024), default=65_536)
    body_seconds: int = _setting("CHARTER_BODY_SECONDS", integer(1, 60), default=10)
    keepalive_seconds: int = _setting("CHARTER_KEEPALIVE_SECONDS", integer(1, 3600), default=75)
    trusted_proxies: tuple[str, ...] = _setting("CHARTER_TRUSTED_PROXIES", trusted_proxies, default=())
    forwarded: str = _setting(
        "CHARTER_FORWARDED", choice("x-forwarded-for", "forwarded", "x-real-ip"), default="x-forwarded-for"
    )
    ipv6_prefix: int = _setting("CHARTER_IPV6_PREFIX", integer(48, 128), default=64)
    cors_origins: tuple[str, ...] = _setting("CHARTER_CORS_ORIGINS", cors_origins, default=())
    cookies: str = _setting("CHARTER_COOKIES", choice("off", "refresh"), default="off")
    rate_limits: tuple[str, ...] = _setting("CHARTER_RATE_LIMITS", rate_limits, default=())
    limit_rows: int = _setting("CHARTER_LIMIT_ROWS", integer(1000, 1_000_000_000), default=1_000_000)
    smtp_url: SmtpServer | None = _setting("CHARTER_SMTP_URL", smtp_url, default=None, repr=False)
    mail_from: str = _setting("CHARTER_MAIL_FROM", mail_from, default="")
    link_url: str = _setting("CHARTER_LINK_URL", link_url, default="")
    mail_templates: Path | None = _setting("CHARTER_MAIL_TEMPLATES", template_folder, default=None)
    locale: str = _setting("CHARTER_LOCALE", locale, default="en")
    mail_days: int = _setting("CHARTER_MAIL_DAYS", integer(0, 365), default=7)
    sign_up: str = _setting("CHARTER_SIGN_UP", choice("open", "verified", "closed"), default="open")
    unverified: str = _setting("CHARTER_UNVERIFIED", choice("allowed", "refused"), default="allowed")
    deletion_days: int = _setting("CHARTER_DELETION_DAYS", integer(0, 90), default=7)
    name_days: int = _setting("CHARTER_NAME_DAYS", integer(0, 3650), default=90)
    event_days: int = _setting("CHARTER_EVENT_DAYS", integer(1, 3650), default=365)
    event_origin_days: int = _setting("CHARTER_EVENT_ORIGIN_DAYS", integer(0, 365), default=30)
    key_prefix: str = _setting("CHARTER_KEY_PREFIX", key_prefix, default="charter")
    key_days: int = _setting("CHARTER_KEY_DAYS", integer(1, 3650), default=365)
    check_answers: str = _setting("CHARTER_CHECK_ANSWERS", choice("off", "report"), default="off")
    background: str = _setting("CHARTER_BACKGROUND", choice("on", "off"), default="on")
    workers: int = _setting("CHARTER_WORKERS", integer(1, 256), default=1)
    drain_seconds: int = _setting("CHARTER_DRAIN_SECONDS", integer(0, 300), default=0)
    metrics_host: str = _setting("CHARTER_METRICS_HOST", str, default="127.0.0.1")
    metrics_port: int = _setting("CHARTER_METRICS_PORT", integer(0, 65535), default=0)
    traces_url: str = _setting("CHARTER_TRACES_URL", traces_url, default="off")
    log_format: str = _setting("CHARTER_LOG_FORMAT", choice("auto", "text", "json"), default="auto")

    @property
    def max_connections(self) -> int:
        """The most connections to the database that a process opens, beside the one of the change feed."""
        threads = 2 if self.background == "on" and self.sends_mail else 1
        return self.database_connections + 2 * self.hashes + threads

    @property
    def limit_overrides(self) -> dict[str, tuple[int, int] | None] | None:
        """Return the quota and the window by rate limit, None for a limit that is off, and None if all are off."""
        if self.rate_limits == ("off",):
            return None
        pairs = [entry.split("=") for entry in self.rate_limits]
        return {name: None if change == "off" else _quota(change) for name, change in pairs}

    @property
    def front_ends(self) -> frozenset[str]:
        """Return the origins whose pages may use the cookie: those of other hosts, and the one of the service."""
        return frozenset([*self.cors_origins, *([origin_of(self.public_url)] if self.public_url else [])])

    @property
    def sends_mail(self) -> bool:
        """Return True if mails are sent, or else written to files, which only an installation with SQLite does."""
        return self.smtp_url is not None or not self.is_shared

    @property
    def mail_sender(self) -> str:
        """Return the sender of mails. Mails in files have a default."""
        return self.mail_from or "no-reply@localhost"

    @property
    def socket_path(self) -> Path | None:
        """Return the path of the Unix socket to listen on, or None."""
        return socket_path(self.host)

    @property
    def is_shared(self) -> bool:
        """Return True if other hosts may use the same database."""
        return self.database_url.get_backend_name() != "sqlite"


def _quota(text: str) -> tuple[int, int]:
    quota, window = text.split("/")
    return int(quota), int(window)


def variable(setting: "Field[Any]") -> str:
    """Return the name of a setting's environment variable."""
    return str(setting.metadata["variable"])


_VARIABLES = {setting.name: variable(setting) for setting in fields(Config)}
_EQUAL_SECRETS = (
    "CHARTER_SECRET and CHARTER_PEPPER must differ; change CHARTER_SECRET, which logs all users out, and never "
    f"CHARTER_PEPPER, without which no password can be verified; {GENERATE_HINT}"
)


def export_env(name: str, value: str) -> None:
    """Set an environment variable for a library that has no other configuration. Later child processes inherit it."""
    os.environ[name] = value


def load(environ: Mapping[str, str] = os.environ, /, **options: str) -> Config:
    """Read the settings. For an embedded database, create missing secrets in the data directory.

    Options of the command line override the environment. Raises ConfigError that lists all invalid settings at once.
    """
    values = read({**environ, **options})
    data_dir = values["data_dir"]
    try:
        if _needs_folder(values):
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = {name: load_or_create(data_dir / name) for name in SECRETS if name not in values}
    except OSError as error:
        raise ConfigError(_unusable(data_dir, error)) from None
    return Config(**(values | made))


def load_existing(environ: Mapping[str, str] = os.environ) -> Config:
    """Read the settings of an installation that exists. Create nothing.

    Raises ConfigError that lists all invalid settings at once, or else the missing files.
    """
    values = read(environ)
    files = [values["data_dir"] / name for name in SECRETS if name not in values]
    if values["database_url"].get_backend_name() == "sqlite":
        files.insert(0, Path(values["database_url"].database).absolute())
    missing = [file for file in files if not file.exists()]
    if missing:
        names = ", ".join(map(str, missing))
        is_inside = any(file.parent == values["data_dir"] for file in missing)
        place = _VARIABLES["data_dir" if is_inside else "database_url"]
        raise ConfigError(f"not found: {names}; run charter migrate to create what is missing, or correct {place}")
    return Config(**values)


def read(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the value of each setting, without secrets that the first start has yet to create. Create nothing.

    Raises ConfigError that lists all invalid settings at once.
    """
    given = _given(environ)
    values, wrong = _parse(given)
    values["data_dir"] = values["data_dir"].absolute()
    if _VARIABLES["database_url"] not in given:
        values["database_url"] = URL.create("sqlite", database=str(values["data_dir"] / "charter.db"))
    if _VARIABLES["issuer"] not in given and values.get("public_url"):
        values["issuer"] = values["public_url"]
    if _VARIABLES["link_url"] not in given and values.get("public_url"):
        values["link_url"] = f"{values['public_url']}/{{action}}#code={{code}}"
    misspellings = misspelt(given, _VARIABLES.values())
    wrong += [f"unknown setting {name}; did you mean {near}?" for name, near in misspellings.items()]
    if _VARIABLES["hashes"] not in given and "workers" in values:
        values["hashes"] = max(1, values["hashes"] // values["workers"])
    missing = [name for name in SECRETS if _VARIABLES[name] not in given]
    if "database_url" in values and values["database_url"].get_backend_name() == "sqlite":
        kept, faults = _look_into_folder(values, missing)
        values, wrong = values | kept, wrong + faults
        if not _is_in(values["data_dir"], values) and (fault := unusable_for_database(values["database_url"].database)):
            wrong.append(f"{_VARIABLES['database_url']} {fault}")
    elif "database_url" in values and missing:
        names = " and ".join(_VARIABLES[name] for name in missing)
        wrong.append(f"{names} must be set, because several hosts can share the database; {GENERATE_HINT}")
    if values.get("smtp_url") and _VARIABLES["mail_from"] not in given:
        wrong.append(f"{_VARIABLES['mail_from']} must be set, because {_VARIABLES['smtp_url']} is")
    wrong += _without_mail(values) + _without_https(values)
    if "secret" in values and values["secret"] == values.get("pepper"):
        wrong.append(_EQUAL_SECRETS)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return values


def _without_mail(values: Mapping[str, Any]) -> list[str]:
    """Return the settings with which no user could sign up or log in, because the installation sends no mail."""
    if values.get("smtp_url") or "database_url" not in values or values["database_url"].get_backend_name() == "sqlite":
        return []
    needed = (("sign_up", "verified"), ("unverified", "refused"))
    return [
        f"{_VARIABLES['smtp_url']} must be set, because {_VARIABLES[name]} is {value}"
        for name, value in needed
        if values.get(name) == value
    ]


def _without_https(values: Mapping[str, Any]) -> list[str]:
    """Return the error of cookies that browsers would refuse, or would send without encryption."""
    if values.get("cookies") != "refresh" or "public_url" not in values or keeps_cookies_secret(values["public_url"]):
        return []
    form = "an https URL, or one with http and localhost or 127.0.0.1"
    return [f"{_VARIABLES['public_url']} must be {form}, because {_VARIABLES['cookies']} is refresh"]


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set. An empty one counts as unset."""
    return {name: text.strip() for name, text in without_service_links(environ).items() if text.strip()}


def _parse(given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of the given settings, the defaults of the others, and the errors."""
    values: dict[str, Any] = {}
    wrong = []
    for setting in fields(Config):
        text = given.get(variable(setting))
        try:
            if text is not None:
                values[setting.name] = setting.metadata["parse"](text)
            elif setting.default is not MISSING:
                values[setting.name] = setting.default
            elif setting.default_factory is not MISSING:
                values[setting.name] = setting.default_factory()
        except ValueError as error:
            wrong.append(f"{variable(setting)} must be {error}")
    return values, wrong


def find_warnings(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return what is unusual about the settings, but does not prevent a start."""
    given = _given(environ)
    found = [f"unknown setting {name} has no effect" for name in unused(given, _VARIABLES.values())]
    if given.get(_VARIABLES["rate_limits"]) == "off":
        found.append(f"{_VARIABLES['rate_limits']} is off, so anyone can guess passwords without a limit")
    exposed = writable_by_group(Path(given.get(_VARIABLES["data_dir"], Config.data_dir)).absolute())
    return [*found, exposed] if exposed else found


def _look_into_folder(values: Mapping[str, Any], missing: list[str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the missing secrets that are stored in the data directory, and the errors found there."""
    data_dir = values["data_dir"]
    try:
        kept, wrong = _read_kept([data_dir / name for name in missing if os.path.lexists(data_dir / name)])
        needs_folder = _needs_folder({**values, **kept})
        if needs_folder:
            _must_be_writable(data_dir)
        if (needs_folder or kept) and (fault := writable_by_all(data_dir)):
            wrong.append(f"{_VARIABLES['data_dir']} {fault}")
        pepper = data_dir / "pepper"
        if "pepper" in missing and not pepper.exists() and Path(values["database_url"].database).exists():
            remedy = f"restore the file or set {_VARIABLES['pepper']}"
            wrong.append(f"{pepper} is missing, and passwords cannot be verified without it; {remedy}")
    except OSError as error:
        return {}, [_unusable(data_dir, error)]
    return kept, wrong


def _read_kept(files: list[Path]) -> tuple[dict[str, bytes], list[str]]:
    kept = {}
    wrong = []
    for file in files:
        # Reading a named pipe would wait for a writer.
        if not file.is_file():
            wrong.append(f"{file} must be a regular file")
            continue
        try:
            kept[file.name] = read_secret(file)
        except ValueError as error:
            wrong.append(f"{file} must contain {error}")
        except OSError as error:
            wrong.append(f"{file} must be readable: {error.strerror}")
    return kept, wrong


def _needs_folder(values: Mapping[str, Any]) -> bool:
    """Return True if a start creates a file in the data directory."""
    makes_secret = any(name not in values for name in SECRETS)
    return makes_secret or _is_in(values["data_dir"], values)


def _is_in(data_dir: Path, values: Mapping[str, Any]) -> bool:
    """Return True if the database is a file in the data directory."""
    return Path(str(values["database_url"].database)).absolute().parent == data_dir


def _must_be_writable(data_dir: Path) -> None:
    there = next(place for place in (data_dir, *data_dir.parents) if place.exists())
    if not there.is_dir():
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def _unusable(data_dir: Path, error: OSError) -> str:
    return f"{_VARIABLES['data_dir']} must be a writable directory: {data_dir}: {error.strerror}"
