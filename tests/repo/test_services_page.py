"""docs/services.md: its commands work against a running service, and its example for nginx is well-formed."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from api import contract
from api.config import Config
from api.config.paths import resource_dir
from tests.repo.test_readme import normalized
from tests.support.charter import beside
from tests.support.person import newcomer
from tests.support.readme import block, blocks, page

PAGE = "docs/services.md"
LOCAL = "http://127.0.0.1:8000"


def run(command: str, server: str, **variables: str) -> str:
    """Run a command of the page against this server, and return its output."""
    environment = {"PATH": os.environ["PATH"]} | variables
    result = subprocess.run(
        ["/bin/sh", "-c", command.replace(LOCAL, server)], check=True, capture_output=True, text=True, env=environment
    )
    return result.stdout


@pytest.mark.slow
def test_the_commands_of_the_page_work(config: Config, server: str) -> None:
    create, printed, ask, answer, get_token, *_ = blocks("docs/services.md")
    result = beside(config).run(*create.text.split()[1:])
    assert normalized(result.stdout) == normalized(printed.text)
    words = result.stdout.split()
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    variables = {"CLIENT_ID": words[1], "CLIENT_SECRET": words[3], "TOKEN": alice.token}
    found, shown = json.loads(run(ask.text, server, **variables)), json.loads(answer.text)
    assert [claims["jti"] == claims["sid"] for claims in (found, shown)] == [False, False]
    numbers = {name for name, value in shown.items() if type(value) is int}
    assert {name: found[name] for name in numbers}.keys() == numbers
    rest = [{name: each[name] for name in sorted(each) if name not in numbers} for each in (found, shown)]
    assert normalized(json.dumps(rest[0])) == normalized(json.dumps(rest[1]))
    assert json.loads(run(get_token.text, server, **variables))["scope"] == "tokens:introspect"


def test_the_example_for_nginx_is_well_formed() -> None:
    text = block("server {\n    listen 8080").text
    assert text.count("{") == text.count("}") == 3
    lines = [line.strip() for line in text.splitlines()]
    assert all(line.endswith((";", "{", "}")) for line in lines)
    (checked,) = re.findall(rf"proxy_pass {LOCAL}(\S+);", text)
    assert checked in {operation.path for operation in contract.load(resource_dir("openapi")).operations()}
    (asked,) = re.findall(r"auth_request (\S+);", text)
    assert f"location = {asked} {{" in lines


def test_the_readme_links_the_page() -> None:
    assert f"({PAGE})" in page("README.md")
    assert Path(PAGE).name in page("docs/verify-tokens.md")
