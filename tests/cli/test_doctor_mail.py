"""The findings of `charter doctor` about mail."""

from dataclasses import replace
from datetime import timedelta

import pytest

from api.cli import doctor
from api.config import Config
from api.services.outbox import Outbox
from api.storage.database import Database
from tests.cli.test_doctor import examine
from tests.support.charter import Charter, beside, free_port
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.mail_server import mail_server, only
from tests.support.types import Travel

SENDER = "no-reply@example.com"


def installation(config: Config) -> Charter:
    """Return an installation without a mail server, in a folder of its own."""
    installed = beside(replace(config, data_dir=config.data_dir / "data"))
    installed.data.mkdir(mode=0o700, parents=True)
    installed.folder = installed.data.parent
    return installed


@pytest.fixture
def charter(config: Config) -> Charter:
    return installation(config)


@pytest.fixture
def local(sqlite_config: Config) -> Charter:
    """Return an installation with SQLite. The checks of mail servers and templates do not depend on the database."""
    return installation(sqlite_config)


def mail_finding(charter: Charter, **settings: str) -> tuple[int, str]:
    code, findings = examine(charter, **settings)
    return code, findings["mail"]


def url(port: int, user: str = "") -> dict[str, str]:
    return {"CHARTER_SMTP_URL": f"smtp://{user}127.0.0.1:{port}", "CHARTER_MAIL_FROM": SENDER}


@pytest.mark.slow
def test_a_server_that_accepts_mails_is_ok(local: Charter) -> None:
    with mail_server(auth_require_tls=False, authenticator=only("hunter2")) as server:
        place = f"127.0.0.1:{server.port}"
        assert mail_finding(local, **url(server.port)) == (0, f"ok: {place} accepts mails")
        assert mail_finding(local, **url(server.port, "user:hunter2@")) == (0, f"ok: {place} accepts mails")
        assert server.mails == []


@pytest.mark.slow
def test_a_rejected_log_in_is_wrong(local: Charter) -> None:
    with mail_server(auth_require_tls=False, authenticator=only("right")) as server:
        code, line = mail_finding(local, **url(server.port, "user:hunter2@"))
    assert code == 1
    assert line.startswith(f"wrong: 127.0.0.1:{server.port} failed: 535 ")
    assert line.endswith("; check that server, and CHARTER_SMTP_URL")


@pytest.mark.slow
def test_an_unreachable_server_is_wrong(local: Charter) -> None:
    port = free_port()
    code, line = mail_finding(local, **url(port))
    assert (code, line.startswith(f"wrong: 127.0.0.1:{port} failed: ")) == (1, True)
    assert "refused; check that server, and CHARTER_SMTP_URL" in line


@on_sqlite
def test_files_are_ok(charter: Charter) -> None:
    place = charter.data / "mail"
    assert mail_finding(charter) == (0, f"ok: written to {place}; set CHARTER_SMTP_URL to send it")
    assert not place.exists()


@on_postgresql
def test_postgresql_without_a_server_is_wrong(charter: Charter) -> None:
    line = "wrong: cannot be sent, so users cannot reset their passwords; set CHARTER_SMTP_URL"
    assert mail_finding(charter) == (1, line)


@pytest.mark.slow
def test_own_templates_are_checked(local: Charter) -> None:
    own = local.folder / "templates"
    file = own / "de" / "test.txt"
    file.parent.mkdir(parents=True)
    file.write_text("Hallo")
    settings = {"CHARTER_MAIL_TEMPLATES": str(own)}
    code, findings = examine(local, **settings)
    assert (code, findings["templates"]) == (0, f"ok: {own} has no faults")
    file.write_text("{{ nothing }}")
    code, findings = examine(local, **settings)
    assert (code, findings["templates"]) == (
        1,
        f"wrong: {file}:1: 'nothing' is undefined; correct the file, or remove it",
    )


@pytest.mark.parametrize(
    ("minutes", "finding"),
    [
        (0, ("ok", "no mail has waited for 10 minutes")),
        (9, ("ok", "no mail has waited for 10 minutes")),
        (
            25,
            (
                "warning",
                "a mail has waited for 25 minutes; look for mail_unavailable and mail_later in the log; "
                "a process must have CHARTER_BACKGROUND=on",
            ),
        ),
    ],
)
def test_a_mail_that_waits_for_long_is_a_warning(
    config: Config,
    database: Database,
    travel: Travel,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    finding: tuple[str, str],
) -> None:
    for name, value in beside(config).settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CHARTER_DATA_DIR", str(config.data_dir))
    with database.transaction() as db:
        Outbox(True, ("en",)).add(db, "test", "reader@example.com", timedelta(hours=1))
    travel(timedelta(minutes=minutes))
    (found,) = [found for found in doctor.run_checks(1) if found.subject == "outbox"]
    assert found == (finding[0], "outbox", finding[1])
