"""The `charter` command."""

import json
import logging
import os
import signal
import socket
import sys
from dataclasses import fields
from typing import Any

import click
import uvicorn

from api import config as settings
from api import contract, logs, schema
from api.app import create_app
from api.config import Config, ConfigError, folder
from api.contract import ContractError
from api.database import Database
from api.errors import DatabaseUnavailable
from api.server import uvicorn_config


class Commands(click.Group):
    """Says what a person can mend in plain words, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (ConfigError, ContractError) as error:
            raise click.ClickException(str(error).replace("\n", "\n       ")) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="charter", message="charter %(version)s")
def main() -> None:
    """Accounts and tokens, spec-first.

    All settings come from the environment; check-config shows them. Without any, Charter listens on 127.0.0.1:8000
    and keeps everything in the folder data.
    """
    # What Charter writes is for its owner alone: the database, its journal, the secrets.
    os.umask(0o077)


@main.command()
def serve() -> None:
    """Serve the API until it is told to stop.

    Standard error is the log, with one line for each request. SIGTERM and Ctrl-C let running requests finish.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    config = settings.load()
    logs.configure(config.log_format)
    with _listen(config) as listener:
        app = create_app(config)
        _greet(*listener.getsockname()[:2])
        uvicorn.Server(uvicorn_config(app, config.body_bytes)).run(sockets=[listener])


@main.command()
def migrate() -> None:
    """Bring the database to the schema this release needs.

    One that is there already is left alone.
    """
    config = settings.load()
    database = Database(config.database_url)
    # What stands in the way is said once, below.
    logging.getLogger("charter").addHandler(logging.NullHandler())
    try:
        schema.upgrade(database.engine)
    except (DatabaseUnavailable, schema.SchemaUnknown) as error:
        reason = str(getattr(error.__cause__, "orig", error)).partition("\n")[0]
        where = config.database_url.render_as_string(hide_password=True)
        raise click.ClickException(f"{where} cannot be migrated: {reason}") from None
    finally:
        database.dispose()
    click.echo(f"The database is at revision {schema.head()}.")


@main.command()
def openapi() -> None:
    """Print the whole contract as JSON."""
    click.echo(json.dumps(contract.load(folder("openapi")).document, indent=2, ensure_ascii=False))


@main.command()
def check_config() -> None:
    """Show the settings, without the secrets.

    Fails if Charter would not start with them, and says what to set. As at a start, secrets that nobody set are made.
    """
    config = settings.load()
    shown: dict[str, Any] = {settings.variable(setting): getattr(config, setting.name) for setting in fields(Config)}
    shown |= {"CHARTER_SECRET": "(set)", "CHARTER_PEPPER": "(set)"}
    shown["DATABASE_URL"] = config.database_url.render_as_string(hide_password=True)
    for name, value in shown.items():
        click.echo(f"{name}={value}")


def _stop(*_: object) -> None:
    """To be told to stop is no failure; uvicorn raises the signal once more after the last answer."""
    sys.exit(0)


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        advice = "set CHARTER_HOST or CHARTER_PORT to another"
        raise click.ClickException(f"cannot listen on {config.host}:{config.port}: {reason}; {advice}") from None


def _greet(host: str, port: int) -> None:
    """Tell where everything is. On standard output: standard error is the log."""
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"API            {base}/api/v1")
    click.echo(f"Documentation  {base}/docs")
    click.echo(f"Contract       {base}/openapi.json")
