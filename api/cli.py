"""The `charter` command."""

# Each command imports what it needs: everything takes a second, which `charter migrate` and --help need not spend.
# ruff: noqa: PLC0415

import gc
import json
import os
import signal
import socket
import sys
from dataclasses import fields

import click

from api import admin, console


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
def serve() -> None:
    """Serve the API until it is told to stop.

    Standard error is the log, with one line for each request. SIGTERM and Ctrl-C let running requests finish.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)

    import uvicorn

    from api import lean, logs

    lean.import_connexion()
    from api.app import create_app
    from api.contract import ContractError
    from api.server import uvicorn_config

    config = console.load()
    logs.configure(config.log_format)
    with _listen(config.host, config.port) as listener:
        with console.in_plain_words(ContractError):
            app = create_app(config)
        # Nor is it looked through from now on: each time would be a pause of 0.05 s for all requests.
        gc.freeze()
        gc.enable()
        # A thread that looks for changes waits for a busy event loop no longer than this, a few times in each look.
        sys.setswitchinterval(0.001)
        click.echo(greeting(*listener.getsockname()[:2]))
        uvicorn.Server(uvicorn_config(app)).run(sockets=[listener])


@main.command()
def migrate() -> None:
    """Bring the database to the schema this release needs.

    One that is there already is left alone. A new one gets the keys that sign access tokens.
    """
    from api import revisions

    config = console.load()
    with console.opened(config, revisions.RevisionUnknown, cannot="migrated") as database:
        revisions.upgrade(database.engine)
        with database.transaction() as db:
            console.keyring(config).signing(db)
    click.echo(f"The database is at revision {revisions.head()}.")


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
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        advice = "set CHARTER_HOST or CHARTER_PORT to another"
        raise click.ClickException(f"cannot listen on {host}:{port}: {reason}; {advice}") from None


main.add_command(admin.keys)
main.add_command(admin.users)
