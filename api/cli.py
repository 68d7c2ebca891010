"""The `charter` command."""

# Each command imports what it needs: everything takes a second, which `charter migrate` and --help need not spend.
# ruff: noqa: PLC0415

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

import click

from api import admin, console

if TYPE_CHECKING:
    from api.config import Config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="charter", message="charter %(version)s")
def main() -> None:
    """Accounts and tokens, spec-first.

    All settings come from the environment; check-config shows them. Without any, Charter listens on 127.0.0.1:8000
    and keeps everything in the folder data.
    """
    # What Charter writes is for its owner alone: the database, its journal, the secrets.
    os.umask(0o077)
    # What is made at a start stays; to look for what does not, again and again, takes 0.15 s.
    gc.disable()


@main.command()
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes serve; CHARTER_WORKERS, or 1.")
def serve(workers: int | None) -> None:
    """Serve the API until it is told to stop.

    Standard error is the log, with one line for each request. SIGTERM and Ctrl-C let running requests finish. Among
    several workers, one that dies is replaced, and SIGHUP replaces all, one after the other.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)

    config = console.load(**({"CHARTER_WORKERS": str(workers)} if workers else {}))
    with _listen(config.host, config.port) as listener, _exported(config.metrics_host, config.metrics_port):
        if config.workers == 1:
            _serve(config, listener)
        else:
            _supervise(config, listener)


def _serve(config: "Config", listener: socket.socket) -> None:
    import uvicorn

    from api import lean

    lean.import_connexion()
    from api.contract import ContractError
    from api.server import application, uvicorn_config

    with console.in_plain_words(ContractError):
        app = application(config)
    click.echo(greeting(*listener.getsockname()[:2]))
    uvicorn.Server(uvicorn_config(app)).run(sockets=[listener])


def _supervise(config: "Config", listener: socket.socket) -> None:
    from api import logs
    from api.supervisor import Supervisor

    logs.configure(config.log_format)
    supervisor = Supervisor(config, listener)
    click.echo(greeting(*listener.getsockname()[:2]))
    supervisor.run()
    if supervisor.has_failed():
        raise click.ClickException("a worker cannot start; the log says why")


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask before a database that several hosts share is migrated.")
def migrate(yes: bool) -> None:
    """Bring the database to the schema this release needs.

    One that is there already is left alone. A new one gets the keys that sign access tokens. However many are told to
    migrate at once, one does it.
    """
    from api import revisions

    config = console.load()
    with console.opened(config, revisions.RevisionUnknown, cannot="migrated") as database:
        if not yes and config.is_shared:
            _confirm_migration(config, revisions.current(database.engine), revisions.head())
        revisions.upgrade(database.engine)
        with database.transaction() as db:
            console.keyring(config).signing(db)
    click.echo(f"The database is at revision {revisions.head()}.")


def _confirm_migration(config: "Config", current: str | None, needed: str) -> None:
    """Where a setting that was left behind may lead to the database that everybody uses, ask first."""
    if current == needed:
        return
    where = config.database_url.render_as_string(hide_password=True)
    state = f"{where} is at revision {current or 'none'}; this release needs {needed}"
    if not sys.stdin.isatty():
        raise click.ClickException(f"{state}; charter migrate --yes brings it there without asking")
    click.confirm(f"{state}. Migrate it?", abort=True)


@main.command()
def openapi() -> None:
    """Print the whole contract as JSON."""
    from api import contract
    from api.config import folder

    with console.in_plain_words(contract.ContractError):
        document = contract.load(folder("openapi")).document
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@main.command()
def check_config() -> None:
    """Show the settings, without the secrets.

    Fails if Charter would not start with them, and says what to set. Nothing is made.
    """
    from api import config

    with console.in_plain_words(config.ConfigError):
        values = config.read()
    shown = values | {name: "(set)" if name in values else "(made at the first start)" for name in config.SECRETS}
    shown["database_url"] = values["database_url"].render_as_string(hide_password=True)
    for setting in fields(config.Config):
        click.echo(f"{config.variable(setting)}={shown[setting.name]}")


@main.command()
@click.option("--replicas", type=click.IntRange(1), default=1, help="How many charter serve share the database; 1.")
def doctor(replicas: int) -> None:
    """Tell what is wrong with this deployment, and what to do.

    One line for each thing that was looked at: ok, warning or wrong. Run it as the user, on the host and with the
    settings of the server, which may be running meanwhile. Fails if anything is wrong. Nothing is changed.
    """
    from api.doctor import Verdict, examine

    wrong = False
    for verdict, subject, detail in examine(replicas):
        click.echo(f"{verdict:8} {subject:12} {detail}")
        wrong = wrong or verdict is Verdict.WRONG
    sys.exit(wrong)


def greeting(host: str, port: int) -> str:
    """Where everything is, for a server that listens there. Printed on standard output: standard error is the log."""
    # "Every address" is none that can be opened.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return f"API            {base}\nDocumentation  {base}/docs\nContract       {base}/openapi.json"


def _stop(*_: object) -> None:
    """To be told to stop is no failure; uvicorn raises the signal once more after the last answer."""
    sys.exit(0)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _address_in_plain_words(host, port, "CHARTER_HOST or CHARTER_PORT"):
        return socket.create_server((host, port), family=family, backlog=2048)


@contextmanager
def _exported(host: str, port: int) -> Iterator[None]:
    """Serves the metrics meanwhile, where that is switched on."""
    with ExitStack() as stack:
        if port:
            from api.exporter import exported

            with _address_in_plain_words(host, port, "CHARTER_METRICS_HOST or CHARTER_METRICS_PORT"):
                stack.enter_context(exported(host, port))
        yield


@contextmanager
def _address_in_plain_words(host: str, port: int, settings: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        advice = f"set {settings} to another"
        raise click.ClickException(f"cannot listen on {host}:{port}: {reason}; {advice}") from None


main.add_command(admin.keys)
main.add_command(admin.users)
