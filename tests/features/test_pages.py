"""The landing pages of links in mails: in a browser from the mail to the log-in, and as responses."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.config import Config
from api.config.paths import resource_dir
from api.contract.document.operation import Json
from api.mailing import make_outbox
from api.services import sign_up as sign_up_service
from api.services.landing_pages import PAGES, BrokenTexts, Call, LandingPages, check_texts, read_texts
from api.services.mail_templates import SAMPLES, action_of
from tests.support.databases import on_sqlite
from tests.support.mail_server import text_of
from tests.support.mailbox import Mailbox
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import PASSWORD, Person, newcomer
from tests.support.shipped import CONTRACT

OPERATIONS = {operation.id: operation for operation in CONTRACT.operations()}
SHIPPED = resource_dir("mail")
LOCALES = ("en", "de")
NEW = "a better battery for this horse"


@dataclass(frozen=True)
class Flow:
    """How a user gets the mail of a page, and the texts to type there, in which `{}` is the username.

    `faults` are those of the wrong texts. `password` is the one that the user has in the end, if any.
    """

    start: Callable[[httpx.Client, Mailbox, str], Person]
    right: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    faults: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    password: str | None = PASSWORD


def request_reset(client: httpx.Client, _: Mailbox, username: str) -> Person:
    person = newcomer(client, username)
    client.post("/api/v1/auth/password/request", json={"email": person.email}).raise_for_status()
    return person


def sign_up(client: httpx.Client, mailbox: Mailbox, username: str) -> Person:
    mailbox.verifies = True
    return newcomer(client, username)


def invite(client: httpx.Client, mailbox: Mailbox, username: str) -> Person:
    person = Person(client, username)
    with mailbox.database.transaction() as db:
        sign_up_service.invite(db, make_outbox(mailbox.config), person.email, str(client.headers["Accept-Language"]))
    return person


def change_email(client: httpx.Client, _: Mailbox, username: str) -> Person:
    person = newcomer(client, username)
    body = {"email": f"new.{person.email}", "current_password": person.password}
    person.put("/api/v1/me/email", json=body).raise_for_status()
    return person


def confirm_change(client: httpx.Client, mailbox: Mailbox, username: str) -> Person:
    person = change_email(client, mailbox, username)
    code = newest_link(mailbox).partition("#code=")[2]
    client.post("/api/v1/auth/email/confirm", json={"code": code}).raise_for_status()
    return person


def request_deletion(client: httpx.Client, _: Mailbox, username: str) -> Person:
    person = newcomer(client, username)
    body = {"current_password": person.password}
    person.post("/api/v1/me/deletion", json=body).raise_for_status()
    return person


# The language of a text is noted if it is the one of the API.
SHORT = {"en": "en Must be at least 8 characters.", "de": "Das ist zu kurz: mindestens 8 Zeichen."}
USED = {
    "en": "en The code is wrong, used or expired. Request a new one.",
    "de": "Der Code ist falsch, bereits verwendet oder abgelaufen. Fordern Sie einen neuen an.",
}
FLOWS = {
    "reset_password": Flow(
        request_reset,
        right={"new_password": NEW},
        wrong={"new_password": "pass"},
        faults={locale: {"new_password": [SHORT[locale]]} for locale in LOCALES},
        password=NEW,
    ),
    "verify_email": Flow(sign_up),
    "sign_up": Flow(
        invite,
        right={"username": "{}", "password": NEW},
        wrong={"username": "bob", "password": "pass"},
        faults={
            locale: {"username": [SHORT[locale].replace("8", "5")], "password": [SHORT[locale]]} for locale in LOCALES
        },
        password=NEW,
    ),
    "confirm_email": Flow(change_email),
    # The reverted change made the password invalid.
    "revert_email": Flow(confirm_change, password=None),
    "restore_account": Flow(request_deletion),
}


def test_each_page_is_in_the_contract_and_calls_an_operation() -> None:
    shown = {name for name, operation in OPERATIONS.items() if operation.tag == "pages" and name.startswith("show")}
    assert shown == {f"show{name.title().replace('_', '')}Page" for name in PAGES}
    for name, called in PAGES.items():
        assert OPERATIONS[f"show{name.title().replace('_', '')}Page"].route == f"/{name.replace('_', '-')}"
        assert "code" in OPERATIONS[called].body_properties
    assert FLOWS.keys() == PAGES.keys()


def test_each_code_in_a_mail_has_a_page() -> None:
    with_code = {name for name, facts in SAMPLES.items() if "code" in facts}
    assert {action_of(name).replace("-", "_") for name in with_code} == PAGES.keys()


@pytest.mark.slow
@on_sqlite
def test_each_page_leads_from_the_mail_to_the_log_in(server: str, config: Config, mailbox: Mailbox) -> None:
    mailbox.config = replace(config, link_url=f"{server}/{{action}}#code={{code}}")
    visits, people = [], []
    places = [(name, locale) for name in PAGES for locale in LOCALES]
    with httpx.Client(base_url=server) as client:
        for name, locale in places:
            flow = FLOWS[name]
            client.headers["Accept-Language"] = locale
            person = flow.start(client, mailbox, f"{name.replace('_', '')}{locale}")
            right = {field: text.format(person.username) for field, text in flow.right.items()}
            people.append(person)
            visits.append({"link": newest_link(mailbox), "locale": locale, "right": right, "wrong": flow.wrong})
        for (name, locale), person, report in zip(places, people, follow(visits), strict=True):
            assert report == expected(name, locale)
            password = FLOWS[name].password
            assert person.log_in(password=password or PASSWORD).status_code == (200 if password else 401)


def newest_link(mailbox: Mailbox) -> str:
    """Return the link in the newest mail. Both parts of the mail have the same."""
    message = mailbox.deliver().message()
    (link,) = re.findall("https?://\\S+", text_of(message, "plain"))
    assert f'href="{link}"' in text_of(message, "html")
    return str(link)


def follow(visits: list[Json]) -> list[Json]:
    """Follow links in a browser, with the keyboard alone."""
    command: list[str | Path] = [BIN / "node", CHECKOUT / "tests/node/pages.mjs", json.dumps(visits)]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert result.returncode == 0, result.stdout + result.stderr
    return list(json.loads(result.stdout))


def expected(name: str, locale: str) -> Json:
    """Return the report of a visit. It has no fault of any kind in any state of the page."""
    texts, flow = read_texts(SHIPPED / locale / "pages.toml"), FLOWS[name]
    page, fields = texts["pages"][name], OPERATIONS[PAGES[name]].body_properties
    labels = [texts["fields"][name]["label"] for name in fields]
    mistake = {"faults": flow.faults.get(locale), "focusAfterFaults": next(iter(flow.wrong), None)}
    return {
        "inaccessible": [],
        "tooWide": [],
        "strayRequests": [],
        "pageErrors": [],
        "violations": [],
        "withoutCode": labels,
        "afterReload": labels,
        "labels": labels[1:],
        "title": f"{page['title']} \u2013 Charter",
        "language": locale,
        "showsCode": False,
        "callsBeforeClick": 0,
        "offline": texts["common"]["unreachable"],
        **(mistake | {"shown": "text", "hidden": "password"} if flow.wrong else {}),
        "result": page["done_title"],
        "resultHasFocus": True,
        "used": {"code": [USED[locale]]},
        "focusAfterUse": "code",
    }


@pytest.mark.parametrize("name", PAGES)
@on_sqlite
def test_a_page_loads_its_own_files_only_and_leaks_no_url(client: TestClient, name: str) -> None:
    page = client.get(f"/{name.replace('_', '-')}")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    others = ("referrer-policy", "x-content-type-options", "cache-control", "cross-origin-opener-policy")
    assert [page.headers[name] for name in others] == ["no-referrer", "nosniff", "no-store", "same-origin"]
    files = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    types = {file: client.get(f"/{file}").headers["content-type"].partition(";")[0] for file in files}
    assert types == {"pages/page.css": "text/css", "pages/page.js": "text/javascript"}
    assert not re.search("<style| style=| on[a-z]+=|<script[^>]*>[^<]", page.text)
    assert "<noscript>" in page.text


@pytest.mark.parametrize(
    ("accepted", "language"), [("de-AT, en;q=0.5", "de"), ("fr", "en"), ("", "en"), ("fr, de;q=0.1", "de")]
)
@on_sqlite
def test_a_page_has_the_language_of_its_reader(client: TestClient, accepted: str, language: str) -> None:
    page = client.get("/reset-password", headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in page.text


@on_sqlite
def test_an_own_folder_adds_a_language(config: Config, tmp_path: Path) -> None:
    own = tmp_path / "fr" / "pages.toml"
    own.parent.mkdir()
    own.write_text((SHIPPED / "en/pages.toml").read_text().replace("Choose a new password", "Nouveau <b>{service}"))
    with TestClient(create_app(replace(config, mail_templates=tmp_path, locale="fr-CA"))) as client:
        page = client.get("/reset-password", headers={"Accept-Language": "es"}).text
        assert ('<html lang="fr">' in page, "<h1>Nouveau &lt;b&gt;Charter</h1>" in page) == (True, True)
        assert '<html lang="de">' in client.get("/reset-password", headers={"Accept-Language": "de"}).text


def test_faults_of_own_texts_are_found(tmp_path: Path) -> None:
    own = tmp_path / "pages.toml"
    text = (SHIPPED / "de/pages.toml").read_text()
    own.write_text(text)
    check_texts(own, SHIPPED)
    own.write_text(text.replace("show_password", "showpassword"))
    with pytest.raises(BrokenTexts, match=r"pages\.toml lacks the text common\.show_password"):
        check_texts(own, SHIPPED)
    own.write_text("[common]\nshow = Show")
    with pytest.raises(BrokenTexts, match=r"pages\.toml: .*line 2"):
        check_texts(own, SHIPPED)


def test_the_languages_have_the_same_texts() -> None:
    for locale in LOCALES:
        assert read_texts(SHIPPED / locale / "pages.toml")["pages"].keys() == PAGES.keys()
        check_texts(SHIPPED / locale / "pages.toml", SHIPPED)


def test_a_page_sends_its_form_below_its_own_path() -> None:
    calls = {"resetPassword": Call("/api/v1/auth/password/reset", {"code": {}})}
    pages = LandingPages(resource_dir("pages"), [SHIPPED], "en", "Charter", calls)
    assert 'action="api/v1/auth/password/reset"' in pages.render("reset_password", None)


@on_sqlite
def test_reading_a_page_with_a_code_uses_no_code(client: TestClient, mailbox: Mailbox) -> None:
    request_reset(client, mailbox, "bobby")
    code = mailbox.deliver().code()
    for method in ("GET", "HEAD"):
        assert client.request(method, "/reset-password").status_code == 200
        assert client.request(method, f"/reset-password?code={code}").status_code == 400
    assert client.post("/reset-password", json={"code": code, "new_password": NEW}).status_code == 405
    body = {"code": code, "new_password": NEW}
    assert client.post("/api/v1/auth/password/reset", json=body).status_code == 204
