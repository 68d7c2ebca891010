"""The templates of mails: languages, own files, and faults."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from api.config.paths import resource_dir
from api.services import outbox
from api.services.mail_templates import SAMPLES, BrokenTemplate, Templates

SHIPPED = resource_dir("mail")
FIRST = next(iter(SAMPLES))
LINK = "https://app.example.com/{action}#code={code}"


def templates(own: Path | None = None, locale: str = "en", link_url: str = "") -> Templates:
    return Templates(SHIPPED, own, locale, "Charter", link_url)


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return folder


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("name", SAMPLES)
def test_each_mail_is_complete_in_each_language(name: str, locale: str) -> None:
    rendered = templates(link_url=LINK).render(name, locale, SAMPLES[name])
    assert "Charter" in rendered.subject
    assert "\n" not in rendered.subject
    # RFC 5322, section 2.1.1. A link cannot be broken.
    assert max(len(line) for line in rendered.text.splitlines() if "https:" not in line) <= 78
    assert f'<html lang="{locale}">' in rendered.html
    for code in filter(None, [SAMPLES[name].get("code")]):
        assert code in rendered.text
        assert code in rendered.html


def test_the_languages_differ() -> None:
    found = {locale: templates().render("test", locale, {}).text for locale in ("en", "de")}
    assert found["en"] != found["de"]
    assert {path.name for path in (SHIPPED / "en").iterdir()} == {path.name for path in (SHIPPED / "de").iterdir()}


def test_a_link_has_the_code_in_its_fragment() -> None:
    rendered = templates(link_url=LINK).render("reset_password", "en", SAMPLES["reset_password"])
    link = "https://app.example.com/reset-password#code=K7QF-3M9T-XD4B"
    assert link in rendered.text
    assert f'href="{link}"' in rendered.html
    for text in templates().render("reset_password", "en", SAMPLES["reset_password"])[1:]:
        assert "http" not in text
        assert "/reset-password" in text


def test_own_files_come_before_the_shipped_ones(tmp_path: Path) -> None:
    own = templates(write(tmp_path, "de/test.subject", "Eigener Betreff"))
    assert own.render("test", "de-AT", {}).subject == "Eigener Betreff"
    assert own.render("test", "de-AT", {}).text == templates().render("test", "de", {}).text
    assert own.render("test", "en", {}) == templates().render("test", "en", {})


def test_a_folder_adds_a_language(tmp_path: Path) -> None:
    write(tmp_path, "fr/test.subject", "Essai")
    assert outbox.locales_of([tmp_path, SHIPPED], "de") == ("de", "en", "fr")
    own = templates(tmp_path, "de")
    assert own.render("test", "fr", {}).subject == "Essai"
    # Other files are in the default language.
    assert own.render("test", "fr", {}).text == templates().render("test", "de", {}).text


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("fr/test.subject", "Essai", f"the language fr lacks the template {FIRST}.subject"),
        ("de/resetpassword.txt", "Hallo", f"resetpassword.txt is not used; the templates are {FIRST},"),
        ("fr/pages.toml", "[common]", "the language fr lacks the template"),
        ("de/pages.toml", "[common]", "de/pages.toml lacks the text common.no_script"),
        ("de/pages.toml", "[", "de/pages.toml: "),
        ("de/reset_password.txt", "Hallo", "the mail reset_password in de does not show its code"),
        ("de/reset_password.html", "Hallo", "the mail reset_password in de does not show its code"),
    ],
)
def test_faults_of_own_templates_are_found(tmp_path: Path, name: str, text: str, fault: str) -> None:
    with pytest.raises(BrokenTemplate) as caught:
        templates(write(tmp_path, name, text)).check()
    assert fault in str(caught.value)


def test_the_default_language_needs_templates() -> None:
    with pytest.raises(BrokenTemplate, match="the language fr lacks the template"):
        templates(locale="fr").check()
    templates(locale="de").check()
    templates(locale="de-AT").check()


def test_values_are_escaped_in_pages_only(tmp_path: Path) -> None:
    for kind in ("subject", "txt", "html"):
        write(tmp_path, f"en/test.{kind}", "{{ extra }}")
    rendered = templates(tmp_path).render("test", "en", {"extra": "<b>&"})
    assert (rendered.subject, rendered.text, rendered.html) == ("<b>&", "<b>&\n", "&lt;b&gt;&amp;\n")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("fine\n{{ nothing }}", "test.txt:2: 'nothing' is undefined"),
        ("{% if %}", "test.txt:1: Expected an expression"),
        ("{{ ''.__class__ }}", "test.txt:1: access to attribute '__class__'"),
        ("{{ service / 2 }}", "test.txt:1: unsupported operand"),
        ("{% include 'none.txt' %}", "none.txt"),
        ("fine\n{{ 1 / 0 }}", "test.txt:2: division by zero"),
        ("{{ time + 1 }}", "test.txt:1: can only concatenate str"),
        ("{% include 'test.txt' %}", "test.txt:1: maximum recursion depth"),
        ("{{ range(10 ** 9) }}", "test.txt:1: Range too big"),
    ],
)
def test_a_broken_template_is_named_with_its_line(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(BrokenTemplate) as caught:
        templates(write(tmp_path, "en/test.txt", text)).check()
    assert place in str(caught.value)


def test_a_template_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    write(tmp_path, "en/test.txt", "").joinpath("en/test.txt").write_bytes("gr\u00fc\u00dfe".encode("latin-1"))
    with pytest.raises(BrokenTemplate, match=r"^test.txt: 'utf-8' codec"):
        templates(tmp_path).check()


def test_headers_cannot_be_injected(tmp_path: Path) -> None:
    own = templates(write(tmp_path, "en/test.subject", "one\r\nBcc: other@example.com\n"))
    message = EmailMessage()
    message["Subject"] = own.render("test", "en", {}).subject
    assert message["Bcc"] is None
