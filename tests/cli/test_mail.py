"""The `charter mail` commands, and own templates of mails."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from api.config import Config
from api.services.mail_templates import SAMPLES
from api.services.outbox import Outbox
from api.storage.database import Database
from tests.support.charter import Charter, beside, free_port
from tests.support.databases import on_postgresql, on_sqlite
from tests.support.mail_server import MailServer, mail_server, only, text_of
from tests.support.mailbox import Mailbox

HEADING = f"{'ID':38}{'TEMPLATE':18}{'STATE':9}{'ATTEMPTS':10}{'CREATED':21}{'TO':26}  ERROR"
READER = "reader@example.com"
SENDER = "Example <no-reply@example.com>"
SOON = "A running service sends within seconds, unless the mail server is down."
LINK = "https://app.example.com/{action}#code={code}"


@pytest.fixture
def installed(config: Config) -> Charter:
    """Return the command in a folder of its own, beside the database."""
    made = beside(replace(config, data_dir=config.data_dir / "installation"))
    made.data.mkdir(mode=0o700, parents=True)
    return made


@pytest.fixture
def own(charter: Charter) -> Path:
    """Return the folder of own templates."""
    folder = charter.folder / "templates"
    (folder / "de").mkdir(parents=True)
    charter.settings["CHARTER_MAIL_TEMPLATES"] = str(folder)
    return folder


def run(charter: Charter, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a command of mail with more settings. Return its exit code, its output and its errors without events."""
    charter.settings |= settings
    result = charter.run("mail", *arguments)
    errors = [line for line in result.stderr.splitlines(keepends=True) if "charter.events" not in line]
    return result.returncode, result.stdout, "".join(errors)


def write_mail(database: Database, address: str = READER) -> None:
    with database.transaction() as db:
        Outbox(True, ("en",)).add(db, "test", address, timedelta(hours=1))


def listed(charter: Charter, *options: str) -> list[list[str]]:
    """Return the words of each line of the list, without the id and the time."""
    code, shown, errors = run(charter, "list", *options)
    heading, *lines = shown.splitlines()
    assert (code, errors, heading) == (0, "", HEADING)
    return [[word for place, word in enumerate(line.split(maxsplit=6)) if place not in {0, 4, 5}] for line in lines]


def test_mails_are_listed_by_state_without_their_address(
    installed: Charter, database: Database, mailbox: Mailbox
) -> None:
    write_mail(database)
    assert listed(installed) == [["test", "waiting", "0", "r***@example.com"]]
    assert [listed(installed, "--state", state) for state in ("sent", "dead")] == [[], []]
    mailbox.deliver()
    write_mail(database)
    mailbox.server.on_recipient = lambda _: f"550 no mailbox <{READER}> here"
    mailbox.deliver()
    assert listed(installed) == []
    assert listed(installed, "--state", "sent") == [["test", "sent", "1"]]
    assert listed(installed, "--state", "dead") == [
        ["test", "dead", "1", f"{'r***@example.com':26}  550 no mailbox <address> here"]
    ]


def test_the_newest_mail_is_first(installed: Charter, database: Database) -> None:
    for address in ("a@example.com", "b@example.com"):
        write_mail(database, address)
    assert [words[-1] for words in listed(installed)] == ["b***@example.com", "a***@example.com"]


def test_an_unknown_state_is_rejected(installed: Charter) -> None:
    code, _, errors = run(installed, "list", "--state", "lost")
    assert (code, "'lost' is not one of 'waiting', 'sent', 'dead'" in errors) == (2, True)


def test_a_dead_mail_is_sent_again(installed: Charter, database: Database, mailbox: Mailbox) -> None:
    write_mail(database)
    mailbox.server.on_recipient = lambda _: "550 no"
    mailbox.deliver()
    mailbox.server.reset()
    mail_id = run(installed, "list", "--state", "dead")[1].splitlines()[1].split()[0]
    assert run(installed, "retry", mail_id) == (
        0,
        f"The mail waits again. {SOON}\n",
        "",
    )
    assert mailbox.deliver().to == [READER]
    assert mailbox.server.message()["Message-ID"] == f"<{mail_id}@example.com>"
    # It is not dead anymore.
    assert run(installed, "retry", mail_id)[0] == 1


def test_all_dead_mails_are_sent_again(installed: Charter, database: Database, mailbox: Mailbox) -> None:
    for number in range(3):
        write_mail(database, f"user{number}@example.com")
    mailbox.server.on_recipient = lambda _: "550 no"
    mailbox.deliver()
    mailbox.server.reset()
    assert [run(installed, "retry", "--dead") for _ in range(2)] == [
        (0, f"{number} mails wait again. {SOON}\n", "") for number in (3, 0)
    ]
    assert sorted(mailbox.deliver().to) == [f"user{number}@example.com" for number in range(3)]
    for arguments in ((), (str(uuid4()), "--dead")):
        code, _, errors = run(installed, "retry", *arguments)
        assert (code, "give either the ID of a mail or --dead" in errors) == (2, True)


def test_only_a_dead_mail_can_be_sent_again(installed: Charter, database: Database) -> None:
    write_mail(database)
    waiting = run(installed, "list")[1].splitlines()[1].split()[0]
    for mail_id in (str(uuid4()), waiting):
        message = f"Error: no dead mail has the id {mail_id}; charter mail list --state dead lists them\n"
        assert run(installed, "retry", mail_id) == (1, "", message)
    assert run(installed, "retry", "7")[0] == 2


def settings_of(server: MailServer) -> dict[str, str]:
    return {"CHARTER_SMTP_URL": f"smtp://127.0.0.1:{server.port}", "CHARTER_MAIL_FROM": SENDER}


def test_a_test_mail_is_sent_to_the_server(installed: Charter, mailbox: Mailbox) -> None:
    mailbox.server.on_data = lambda _: "250 queued as 42"
    assert run(installed, "test", READER, **settings_of(mailbox.server)) == (0, "250 queued as 42\n", "")
    mailbox.server.reset()
    code, _, _ = run(installed, "test", READER, CHARTER_LOCALE="de")
    message = mailbox.server.message(READER)
    assert (code, message["From"], message["Content-Language"]) == (0, SENDER, "de")
    assert "Testmail" in text_of(message)
    # It is not in the outbox.
    assert listed(installed, "--state", "sent") == []


@pytest.mark.parametrize("address", ["reader", "reader@", "a@example.com, b@example.com", "Bob <bob@example.com>"])
def test_a_wrong_address_gets_no_test_mail(installed: Charter, mailbox: Mailbox, address: str) -> None:
    code, shown, errors = run(installed, "test", address, **settings_of(mailbox.server))
    assert (code, shown, errors) == (1, "", f"Error: not an email address: {address}\n")
    assert mailbox.server.mails == []


@pytest.mark.parametrize("reply", ["550 no such user", "451 try later"])
def test_the_answer_of_a_server_that_rejects_a_test_mail_is_printed(
    installed: Charter, mailbox: Mailbox, reply: str
) -> None:
    mailbox.server.on_recipient = lambda _: reply
    expected = (1, "", f"Error: 127.0.0.1:{mailbox.server.port} did not take the mail: {reply}\n")
    assert run(installed, "test", READER, **settings_of(mailbox.server)) == expected


def test_a_server_that_is_down_or_rejects_the_log_in_is_reported(installed: Charter) -> None:
    settings = {"CHARTER_SMTP_URL": f"smtp://127.0.0.1:{free_port()}", "CHARTER_MAIL_FROM": SENDER}
    code, shown, errors = run(installed, "test", READER, **settings)
    assert (code, shown) == (1, "")
    assert errors.startswith("Error: 127.0.0.1:")
    assert "did not take the mail: [Errno 111] Connection refused" in errors
    with mail_server(auth_require_tls=False, authenticator=only("hunter2")) as server:
        url = f"smtp://user:other@127.0.0.1:{server.port}"
        code, shown, errors = run(installed, "test", READER, CHARTER_SMTP_URL=url)
    assert (code, shown) == (1, "")
    assert errors.startswith(f"Error: 127.0.0.1:{server.port} did not take the mail: 535 ")
    assert "other" not in errors


@on_sqlite
def test_a_test_mail_is_written_to_a_file_without_a_server(installed: Charter) -> None:
    code, shown, errors = run(installed, "test", READER)
    assert (code, errors) == (0, "")
    file = Path(shown.removeprefix("Written to ").strip())
    assert (file.parent, file.name[36:]) == (installed.data / "mail", "-test.eml")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert f"To: {READER}\n" in file.read_text()


@on_postgresql
def test_postgresql_without_a_server_sends_no_test_mail(installed: Charter) -> None:
    assert run(installed, "test", READER) == (1, "", "Error: CHARTER_SMTP_URL must be set\n")


def test_a_preview_prints_the_subject_and_the_text(charter: Charter) -> None:
    code, shown, errors = run(charter, "preview", "reset_password", CHARTER_LINK_URL=LINK)
    assert (code, errors) == (0, "")
    subject, blank, *lines = shown.splitlines()
    assert (subject, blank) == ("Charter: reset your password", "")
    assert "    K7QF-3M9T-XD4B" in lines
    assert "https://app.example.com/reset-password#code=K7QF-3M9T-XD4B" in lines
    assert not charter.data.exists()


def test_a_preview_prints_the_page_in_a_language(charter: Charter) -> None:
    code, shown, _ = run(charter, "preview", "password_changed", "--html", "--locale", "de")
    assert (code, shown[:32]) == (0, '<!doctype html>\n<html lang="de">')
    # The setting is the default, and a region has the templates of its language.
    assert run(charter, "preview", "password_changed", "--html", CHARTER_LOCALE="de")[1] == shown
    assert run(charter, "preview", "password_changed", "--html", "--locale", "de-AT")[1] == shown.replace(
        'lang="de"', 'lang="de-AT"'
    )


def test_a_preview_of_an_unknown_mail_lists_the_known_ones(charter: Charter) -> None:
    names = ", ".join(sorted(SAMPLES))
    assert run(charter, "preview", "none") == (1, "", f"Error: no template is named none; there are {names}\n")
    missing = (1, "", "Error: no templates are in fr; there are en, de\n")
    assert run(charter, "preview", "test", "--locale", "fr") == missing


def test_a_preview_uses_own_templates(charter: Charter, own: Path) -> None:
    (own / "de" / "test.subject").write_text("Eigener Betreff")
    assert run(charter, "preview", "test", "--locale", "de")[1].startswith("Eigener Betreff\n\nDies ist")
    assert run(charter, "preview", "test")[1].startswith("Charter: test mail\n")


@pytest.mark.parametrize(
    "arguments",
    [["serve"], ["serve", "--workers", "2"], ["check-config"], ["mail", "preview", "test", "--locale", "de"]],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Eins\n{{ nothing }}", "2: 'nothing' is undefined"),
        ("Eins\nZwei\n{% if %}", "3: Expected an expression, got 'end of statement block'"),
        ("{{ service / 2 }}", "1: unsupported operand type(s) for /: 'str' and 'int'"),
    ],
    ids=["undefined", "syntax", "type"],
)
def test_a_broken_template_ends_a_command_with_its_file_and_line(
    charter: Charter, own: Path, arguments: list[str], text: str, reason: str
) -> None:
    file = own / "de" / "test.txt"
    file.write_text(text)
    result = charter.run(*arguments)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", f"Error: {file}:{reason}\n")


def test_an_unreadable_template_ends_a_command(charter: Charter, own: Path) -> None:
    (own / "de" / "test.txt").write_bytes(b"\xff")
    result = charter.run("check-config")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
