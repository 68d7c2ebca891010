"""The settings of mail: the server, the sender, the link and the language."""

from collections.abc import Callable
from typing import Any

import pytest

from api.config.mail_parsers import SmtpServer, link_url, locale, mail_from, smtp_url

HOST = "mail.example.com"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        (f"smtp://{HOST}", SmtpServer(HOST, 587, "", "", "auto")),
        (f"smtp://user:p%40ss@{HOST}:25", SmtpServer(HOST, 25, "user", "p@ss", "auto")),
        (f"smtps://{HOST}", SmtpServer(HOST, 465, "", "", "tls")),
        (f"smtp://{HOST}/?tls=off", SmtpServer(HOST, 587, "", "", "off")),
        ("smtp://[::1]:2525", SmtpServer("::1", 2525, "", "", "auto")),
    ],
)
def test_servers_are_urls(text: str, server: SmtpServer) -> None:
    assert smtp_url(text) == server


def test_a_server_is_shown_without_its_password() -> None:
    server = smtp_url(f"smtp://user:hunter2@{HOST}")
    assert (str(server), repr(server)) == (f"{HOST}:587", f"{HOST}:587")


@pytest.mark.parametrize("text", ["Example <no-reply@example.com>", "no-reply@example.com", "Ä GmbH <a+b@example.com>"])
def test_a_sender_is_an_address_with_or_without_a_name(text: str) -> None:
    assert mail_from(text) == text


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (smtp_url, HOST),
        (smtp_url, f"http://{HOST}"),
        (smtp_url, f"smtp://{HOST}/path"),
        (smtp_url, f"smtp://{HOST}?tls=on"),
        (smtp_url, f"smtps://{HOST}?tls=off"),
        (smtp_url, f"smtp://{HOST}:99999"),
        (smtp_url, "smtp://"),
        (mail_from, "a@example.com, b@example.com"),
        (mail_from, "Example"),
        (mail_from, "Example <a@example.com>, b@example.com"),
        (mail_from, "Example\n <a@example.com>"),
        (mail_from, "<a@example.com>"),
        (link_url, "https://app.example.com/{action}?code={code}"),
        (link_url, "https://app.example.com/{action}"),
        (link_url, "https://app.example.com/{other}#{code}"),
        (link_url, "app.example.com/#{code}"),
        (locale, "english"),
        (locale, "de_AT"),
    ],
)
def test_other_texts_are_rejected(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse(text)
