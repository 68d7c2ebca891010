"""Checks of the settings and the host."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE
from time import perf_counter

from api.cli.doctor.finding import Finding, error, ok, warning
from api.cli.doctor.network import is_loopback
from api.config import Config, find_warnings
from api.crypto.password_hasher import PasswordHasher

_SLOW_HASH_SECONDS = 1.0
_TOO_FEW_BYTES, _FEW_BYTES = 100_000_000, 1_000_000_000
_OTHERS = 0o077


def run_checks(settings: Config) -> Iterator[Finding]:
    """Yield a finding for each check that does not need the database."""
    unusual = [warning("settings", line) for line in find_warnings()]
    yield from unusual or [ok("settings", "all are valid; charter check-config shows them")]
    yield _issuer(settings)
    yield _algorithm(settings.signing_algorithm)
    if settings.check_answers == "report":
        yield warning("answers", "each response is validated, which is meant for tests; unset CHARTER_CHECK_ANSWERS")
    if settings.limit_overrides is None:
        yield error("rate limits", "off, so anyone can guess passwords; unset CHARTER_RATE_LIMITS")
    yield _data_folder(settings.data_dir)
    if not settings.is_shared:
        yield _disk(Path(str(settings.database_url.database)).parent)
    yield _hashes(settings)


def _issuer(settings: Config) -> Finding:
    if settings.issuer == Config.issuer and not is_loopback(settings.host):
        return warning("issuer", f"tokens contain {settings.issuer}; set CHARTER_ISSUER to the public URL")
    return ok("issuer", settings.issuer)


def _algorithm(name: str) -> Finding:
    if name == "HS256":
        return warning(
            "algorithm", "HS256 keys are not published, so other services cannot verify tokens; ES256 keys are"
        )
    return ok("algorithm", name)


def _data_folder(folder: Path) -> Finding:
    if not folder.exists():
        return ok("data folder", f"{folder} does not exist and is not needed")
    if exposed := _exposed(folder):
        return error("data folder", f"other users of this host can read {', '.join(exposed)}; run chmod 700 {folder}")
    return ok("data folder", f"only the owner can read the files in {folder}")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    fact = f"{folder} has {free / 1e9:.1f} GB free"
    if free < _TOO_FEW_BYTES:
        return error("disk", f"{fact}; free some space")
    return warning("disk", f"{fact}; free some space") if free < _FEW_BYTES else ok("disk", fact)


def _exposed(folder: Path) -> list[str]:
    """Return the names of the files that users other than the owner can access."""
    if not _is_open(folder):
        return []
    return sorted(file.name for file in folder.iterdir() if file.is_file() and _is_open(file))


def _is_open(path: Path) -> bool:
    return bool(S_IMODE(path.stat().st_mode) & _OTHERS)


def _hashes(settings: Config) -> Finding:
    began = perf_counter()
    PasswordHasher(settings.pepper, settings.bcrypt_cost, lambda call: call()).hash("correct horse battery staple")
    seconds = perf_counter() - began
    fact = f"cost {settings.bcrypt_cost} takes {seconds:.2f} s: {1 / seconds:.1f} log-ins per second and core"
    if seconds > _SLOW_HASH_SECONDS:
        risk = "until users log in again, the time of a failed log-in reveals that they exist"
        return warning("hashes", f"{fact}; lower CHARTER_BCRYPT_COST, but not below 10; {risk}")
    return ok("hashes", fact)
