"""The `charter` command."""

# Each command imports only what it needs: importing everything takes a second, even for `charter migrate` and --help.
# ruff: noqa: PLC0415

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api.cli import events, keys, limits, mail, services, support, users
from api.cli.listener import greeting, listening

if TYPE_CHECKING:
    import uvicorn

    from api.config import Config
    from api.runtime.shutdown import Terminal


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="charter", message="charter %(version)s")
def main() -> None:
    """Accounts and tokens, spec-first.

    All settings come from the environment, and check-config shows them. Without any, Charter listens on 127.0.0.1:8000
    and keeps its files in the folder data.
    """
    # Only the owner may read the files that Charter writes: the database, its journal, the secrets.
    os.umask(0o077)
    # Objects created at start-up live as long as the process. Collecting garbage among them costs 0.15 s.
    gc.disable()


@main.command()
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Number of worker processes. Default: CHARTER_WORKERS, or 1."
)
@click.option("--host", help="Address or name to listen on, or unix:/path. Default: CHARTER_HOST, or 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. Default: CHARTER_PORT, or 8000.")
def serve(workers: int | None, host: str | None, port: int | None) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    The log goes to standard error, with one line for each request. On SIGTERM or Ctrl-C, Charter finishes the requests
    in flight. With several workers, Charter replaces a worker that dies. SIGHUP replaces all workers, one at a time.
    """
    from api.runtime.shutdown import Terminal

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    signal.signal(signal.SIGHUP, partial(_on_hangup, Terminal()))

    options = {"CHARTER_WORKERS": workers, "CHARTER_HOST": host, "CHARTER_PORT": port}
    config = support.load(**{name: str(value) for name, value in options.items() if value is not None})
    mail.check_templates(config.mail_templates, config.locale, config.link_url)
    address = "CHARTER_HOST", "CHARTER_PORT"
    with listening(config.host, config.port, address, config.socket_path) as listener, _exported(config) as metrics:
        if config.workers == 1:
            _serve(config, listener, metrics)
        else:
            _supervise(config, listener, metrics)


def _serve(config: "Config", listener: socket.socket, metrics: AbstractContextManager[None]) -> None:

    from api.server import connexion_import

    connexion_import.import_connexion()
    from threading import Thread

    from api.contract import ContractError
    from api.server.uvicorn_server import PunctualServer, application, uvicorn_config

    with support.friendly_errors(ContractError):
        app = application(config)
    _greet(config, listener)
    server = PunctualServer(uvicorn_config(app, config.keepalive_seconds))
    if config.check_answers == "report":
        Thread(target=_warn_of_broken_rules, args=[server], daemon=True).start()
    with metrics:
        server.run(sockets=[listener])


def _warn_of_broken_rules(server: "uvicorn.Server") -> None:
    """Check the contract once the server has started. Before that, the check would delay the start by 0.07 s."""
    from time import sleep

    from api.cli import contract_check

    while not server.started:
        sleep(0.1)
    contract_check.warn_of_broken_rules()


def _supervise(config: "Config", listener: socket.socket, metrics: AbstractContextManager[None]) -> None:
    from api import logs
    from api.server.supervisor import Supervisor
    from api.server.worker import WorkerCannotStartError

    logs.configure(config.log_format)
    supervisor = Supervisor(config, listener)
    _greet(config, listener)
    with metrics, support.friendly_errors(WorkerCannotStartError):
        supervisor.run()
    if supervisor.has_failed():
        raise click.ClickException("a worker cannot start; see the log for the reason")


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask before migrating a database that several hosts share.")
def migrate(yes: bool) -> None:
    """Migrate the database to the schema of this release.

    An up-to-date database is not changed, unless it lacks triggers. A new one gets the keys that sign access tokens. If
    several processes migrate at once, one does the work and the others wait.
    """
    from api.storage import revisions

    config = support.load()
    mendable = revisions.RevisionUnknown, revisions.MigrationIncomplete, revisions.DatabaseUnsuitable
    with support.open_database(config, *mendable, cannot="migrated") as database:
        if not yes and config.is_shared:
            _confirm_migration(config, revisions.current(database.engine), revisions.head())
        restored = revisions.upgrade(database.engine)
        with database.transaction() as db:
            support.keyring(config).signing(db)
    if restored:
        click.echo(f"Restored the triggers {', '.join(restored)}. Revocations may have been missed without them.")
    click.echo(f"The database is at revision {revisions.head()}.")


def _confirm_migration(config: "Config", current: str | None, needed: str) -> None:
    """Ask before migrating a shared database, because a stale DATABASE_URL in the shell may point to the wrong one."""
    if current == needed:
        return
    where = config.database_url.render_as_string(hide_password=True)
    state = f"{where} is at revision {current or 'none'}; this release requires {needed}"
    support.confirm(f"{state}. Migrate it?", f"{state}; run charter migrate --yes to migrate it without a prompt")


@main.command()
def openapi() -> None:
    """Print the contract as one JSON document."""
    from api import contract
    from api.config.paths import resource_dir

    with support.friendly_errors(contract.ContractError):
        document = contract.published(contract.load(resource_dir("openapi")))
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
def check(file: Path | None) -> None:
    """Check the contract, or any OpenAPI document.

    Without FILE, list whatever prevents a start and each broken rule of docs/contract-rules.md. With FILE, a document
    of OpenAPI 3.0 or 3.1 in YAML or JSON, list what could not be served. Each line names the file and the line.
    """
    from api import contract
    from api.cli import contract_check

    try:
        passed = contract_check.check_contract() if file is None else contract_check.check_document(file)
    except contract.ContractError as error:
        click.echo(error)
        passed = False
    sys.exit(not passed)


@main.command()
def check_config() -> None:
    """Show the settings, without the secrets.

    If Charter cannot start with these settings, the command fails and lists what to set. It creates nothing.
    """
    from api import config

    with support.friendly_errors(config.ConfigError):
        values = config.read()
    _check_rate_limits(config.Config(**dict.fromkeys(config.SECRETS, b"") | values))
    mail.check_templates(values["mail_templates"], values["locale"], values["link_url"])
    support.print_warnings()
    shown = values | {name: "(set)" if name in values else "(created at the first start)" for name in config.SECRETS}
    shown["database_url"] = values["database_url"].render_as_string(hide_password=True)
    for setting in fields(config.Config):
        click.echo(f"{config.variable(setting)}={_shown(shown[setting.name])}")


def _shown(value: object) -> str:
    """Return the value of a setting as its variable would have it."""
    return ",".join(value) if type(value) is tuple else str("" if value is None else value)


def _check_rate_limits(config: "Config") -> None:
    """End the command if the settings change a rate limit that the contract does not have."""
    if not config.limit_overrides:
        return
    from api import contract
    from api.config.paths import resource_dir

    with support.friendly_errors(contract.ContractError):
        contract.with_overrides(contract.load(resource_dir("openapi")), config.limit_overrides)


@main.command()
@click.option(
    "--replicas",
    type=click.IntRange(1),
    default=1,
    help="Number of replicas (charter serve) that share the database. Default: 1.",
)
def doctor(replicas: int) -> None:
    """Check this deployment and suggest how to fix each problem.

    Each check prints one line that starts with ok, warning or wrong. Run the command on the server's host, as its user
    and with its settings. The server may be running. The command fails if a check is wrong, and changes nothing.
    """
    from api.cli.doctor import Verdict, run_checks

    wrong = False
    for verdict, subject, detail in run_checks(replicas):
        click.echo(f"{verdict:8} {subject:12} {detail}")
        wrong = wrong or verdict is Verdict.WRONG
    sys.exit(wrong)


def _greet(config: "Config", listener: socket.socket) -> None:
    """Print the URLs, and check the database without delaying the start."""
    from threading import Thread

    # The port of the setting can be 0.
    host, port = (config.host, 0) if config.socket_path else listener.getsockname()[:2]
    click.echo(greeting(host, port, _place_of_mails(config), config.socket_path))
    Thread(target=support.report_database, args=[config], daemon=True).start()


def _place_of_mails(config: "Config") -> str:
    if config.smtp_url is not None:
        return f"sent by {config.smtp_url!r}"
    remedy = "set CHARTER_SMTP_URL to send it"
    place, here = config.data_dir / "mail", Path.cwd()
    shown = place.relative_to(here) if place.is_relative_to(here) else place
    return f"written to {shown}; {remedy}" if config.sends_mail else f"off; {remedy}"


def _stop(*_: object) -> None:
    """Exit with 0: a requested stop is not a failure, and uvicorn raises the signal again after its shutdown."""
    sys.exit(0)


def _on_hangup(terminal: "Terminal", *_: object) -> None:
    """Stop if the terminal was closed, and log otherwise that SIGHUP has no effect with one worker.

    A supervisor replaces this handler by its own.
    """
    import logging

    if terminal.has_closed():
        signal.raise_signal(signal.SIGTERM)
        return
    facts = {"hint": "SIGHUP replaces workers one by one, which needs charter serve --workers 2 or more"}
    logging.getLogger("charter.workers").warning("sighup_ignored", extra={"facts": facts})


@contextmanager
def _exported(config: "Config") -> Iterator[AbstractContextManager[None]]:
    """Open the port of the metrics, if one is set. Yield a context in which the port is served."""
    if not config.metrics_port:
        yield nullcontext()
        return
    from api.server.uvicorn_server import serving_beside
    from api.telemetry.exporter import exporting

    settings = "CHARTER_METRICS_HOST", "CHARTER_METRICS_PORT"
    with listening(config.metrics_host, config.metrics_port, settings) as listener, exporting() as make_app:
        yield serving_beside(make_app, listener, config.keepalive_seconds)


main.add_command(events.events)
main.add_command(keys.keys)
main.add_command(limits.limits)
main.add_command(mail.mail)
main.add_command(services.services)
main.add_command(users.users)
