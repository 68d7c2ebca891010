"""The `charter` command."""

import json
import os
import socket
import sys
from dataclasses import fields
from typing import Any

import click
import uvicorn

from api import config as settings
from api import contract, logs, schema
from api.app import create_app
from api.config import Config, ConfigError, folder, load
from api.database import Database
from api.errors import DatabaseUnavailable
from api.server import uvicorn_config


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="charter", message="charter %(version)s")
def main() -> None:
    """Accounts and tokens, spec-first.

    All settings come from the environment; the README lists them. Without any, everything is kept in ./data.
    """
    # What Charter writes is for its owner alone: the database, its journal, the secrets.
    os.umask(0o077)


@main.command()
def serve() -> None:
    """Serve the API until it is told to stop."""
    config = _config()
    logs.configure(config.log_format)
    listener = _listen(config)
    _greet(*listener.getsockname()[:2])
    uvicorn.Server(uvicorn_config(create_app(config))).run(sockets=[listener])


@main.command()
def migrate() -> None:
    """Bring the database to the schema this release needs."""
    config = _config()
    logs.configure(config.log_format)
    database = Database(config.database_url)
    try:
        schema.upgrade(database.engine)
    except DatabaseUnavailable as error:
        raise click.ClickException(error.detail) from None
    finally:
        database.dispose()
    click.echo(f"The database is at revision {schema.head()}.")


@main.command()
def openapi() -> None:
    """Print the whole contract as JSON."""
    click.echo(json.dumps(contract.load(folder("openapi")).document, indent=2, ensure_ascii=False))


@main.command()
def check_config() -> None:
    """Tell what would be used, without the secrets; fail if it would not do."""
    config = _config()
    shown: dict[str, Any] = {settings.variable(setting): getattr(config, setting.name) for setting in fields(Config)}
    shown |= {"CHARTER_SECRET": "(set)", "CHARTER_PEPPER": "(set)"}
    shown["DATABASE_URL"] = config.database_url.render_as_string(hide_password=True)
    for name, value in shown.items():
        click.echo(f"{name}={value}")


def _config() -> Config:
    try:
        return load()
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=2048)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        advice = "set CHARTER_HOST or CHARTER_PORT to another"
        raise click.ClickException(f"cannot listen on {where} ({error.strerror}); {advice}") from None


def _greet(host: str, port: int) -> None:
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"API            {base}/api/v1", err=True)
    click.echo(f"Documentation  {base}/docs", err=True)
    click.echo(f"Contract       {base}/openapi.json", err=True)
    sys.stderr.flush()
