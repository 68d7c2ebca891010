"""The HTML pages of mails, in a browser."""

import json
import subprocess
from pathlib import Path

import pytest

from api.config.paths import resource_dir
from api.services.mail_templates import SAMPLES, Templates
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS

LINK = "https://accounts.a-long-company-name.example.com/{action}#code={code}"


def looked_at(folder: Path) -> dict[str, list[str]]:
    """Open all pages of a folder in a browser, and return the names and the faults."""
    command = [BIN / "node", CHECKOUT / "tests/node/mails.mjs", folder]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    return dict(json.loads(result.stdout))


@pytest.mark.slow
def test_each_mail_can_be_read_in_all_windows_light_and_dark(tmp_path: Path) -> None:
    expected = []
    for kind, link in (("code", ""), ("link", LINK)):
        templates = Templates(resource_dir("mail"), None, "en", "Charter", link)
        for locale in templates.locales:
            for name, facts in SAMPLES.items():
                file = tmp_path / f"{name}-{locale}-{kind}.html"
                file.write_text(templates.render(name, locale, facts).html)
                expected.append(file.name)
    assert looked_at(tmp_path) == {"pages": sorted(expected), "tooWide": [], "pale": [], "requests": []}


@pytest.mark.slow
def test_faults_of_a_page_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<p style="width: 400px; color: #999">Pale</p><img src="https://example.com/pixel.gif">'
    )
    found = looked_at(tmp_path)
    assert found["tooWide"] == [f"page.html {scheme} {width}" for scheme in ("light", "dark") for width in (320, 375)]
    assert len(found["pale"]) == 6
    assert set(found["requests"]) == {"https://example.com/pixel.gif"}
