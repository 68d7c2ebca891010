"""A running service that resets a password by mail, and the modules of mail that it loads."""

import re
from pathlib import Path

import httpx
import pytest

from api.config import Config
from tests.support.charter import Charter, beside, until
from tests.support.mail_server import CODE
from tests.support.person import PASSWORD, newcomer

NEW = "a better battery for this horse"


def files(charter: Charter) -> list[Path]:
    return sorted((charter.data / "mail").glob("*.eml"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_without_settings_resets_a_password_by_a_file(charter: Charter, workers: str) -> None:
    assert charter.run("migrate").returncode == 0
    with charter.serving("--workers", workers) as server, httpx.Client(base_url=server.url) as client:
        alice = newcomer(client, "alice")
        until(lambda: files(charter))
        accepted = client.post("/api/v1/auth/password/request", json={"email": "ALICE@example.com"})
        unknown = client.post("/api/v1/auth/password/request", json={"email": "other@example.com"})
        assert (
            (accepted.status_code, accepted.json())
            == (unknown.status_code, unknown.json())
            == (202, {"expires_in": 3600})
        )
        until(lambda: len(files(charter)) > 1)
        file = files(charter)[1]
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        text = file.read_text()
        assert re.search("^To: alice@example.com$", text, re.MULTILINE)
        (code,) = set(CODE.findall(text))
        body = {"code": code, "new_password": NEW}
        assert client.post("/api/v1/auth/password/reset", json=body).status_code == 204
        assert [alice.log_in().status_code, alice.log_in(password=NEW).status_code] == [401, 200]
        # The user gets a notice, and the unknown address nothing.
        until(lambda: len(files(charter)) > 2)
        assert server.stop() == 0
    names = ["verify_email.eml", "reset_password.eml", "password_changed.eml"]
    assert [path.name[37:] for path in files(charter)] == names
    log = server.log.read_text()
    assert log.count("mail_written") == 3
    for secret in (code, code.replace("-", ""), "alice@example.com", "other@example.com", PASSWORD, NEW):
        assert secret.lower() not in log.lower()


@pytest.mark.slow
def test_the_greeting_names_the_place_of_mails(config: Config) -> None:
    remedy = "set CHARTER_SMTP_URL to send it"
    with beside(config, 2525).serving() as server:
        assert (server.mail, server.stop()) == ("sent by 127.0.0.1:2525", 0)
    charter = beside(config)
    with charter.serving() as server:
        place = "off" if config.is_shared else "written to data/mail"
        assert (server.mail, server.stop()) == (f"{place}; {remedy}", 0)
