"""The documentation is correct: its tours, settings, commands, targets, files and example of an operation."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import click
import httpx
import pytest
from starlette.testclient import TestClient

from api import clock
from api.app import create_app
from api.cli import main as cli
from api.config import Config, variable
from api.crypto.access_tokens import LEEWAY_SECONDS
from api.crypto.secret import GENERATE_HINT, parse_secret
from api.storage import revisions
from tests.support.charter import Charter
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.readme import DOCUMENTS, Block, block, blocks, blocks_in, page, section
from tests.support.scopes import DOCUMENTED_SCOPE, USER_SCOPE
from tests.support.types import Travel

# A stand-in for curl that supports only the options in the documentation. It imports little, so it starts fast.
CURL = """#!{python} -IS
import argparse, http.client, urllib.parse
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("url")
parser.add_argument("-s", action="store_true", required=True)
parser.add_argument("-w", default="")
parser.add_argument("-X")
parser.add_argument("-d")
parser.add_argument("-H", action="append", default=[])
given = parser.parse_args()
headers = {{"User-Agent": "curl/8.5.0"}} | dict(header.split(": ", 1) for header in given.H)
if given.d is not None:
    headers = {{"Content-Type": "application/x-www-form-urlencoded"}} | headers
method = given.X or ("GET" if given.d is None else "POST")
url = urllib.parse.urlsplit(given.url)
connection = http.client.HTTPConnection(url.netloc)
connection.request(method, urllib.parse.urlunsplit(("", "", *url[2:4], "")), given.d, headers)
response = connection.getresponse()
trailer = given.w.replace("%{{http_code}}", str(response.status)).replace("\\\\n", "\\n")
print(response.read().decode() + trailer, end="")
"""
SAME = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{12}Z", "TIME"),
    (r"charter_svc_[0-9A-Za-z]{38}", "SECRET"),
    (r"charter_key_[0-9A-Za-z.]+", "KEY"),
    # A secret or a key may contain the beginning of a token.
    (r"eyJ[A-Za-z0-9._-]+", "TOKEN"),
    (r"curl/[0-9.]+", "curl"),
    (r'"(refresh_token|device_token|kid|x|y)":( ?)"[A-Za-z0-9._-]+"', r'"\1":\2"OWN"'),
)


def normalized(response: str) -> str:
    """Replace the values in a response that differ each time, and the scopes that an author adds by Charter's."""
    response = response.replace(f'"{USER_SCOPE}"', f'"{DOCUMENTED_SCOPE}"')
    for pattern, word in SAME:
        response = re.sub(pattern, word, response)
    return response


def untested_blocks(text: str) -> list[Block]:
    """Return the code blocks of a text that no test requests."""
    requested: list[Block] = []
    for file in (CHECKOUT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Name("block"), args=[ast.Constant(str(start))]):
                    requested.append(block(start))
                case ast.Call(func=ast.Name("blocks"), args=[ast.Constant(str(path))]):
                    requested += blocks(path)
                case ast.Call(func=ast.Name("blocks"), args=[ast.Constant(str(path)), ast.Constant(str(title))]):
                    requested += blocks(path, title)
    return [block for block in blocks_in(text) if block not in requested]


@pytest.mark.slow
def test_every_code_block_is_tested() -> None:
    assert untested_blocks(DOCUMENTS) == []
    assert untested_blocks(f"{DOCUMENTS}\nMore:\n\n```sh\nmake more\n```\n") == [Block("More:", "sh", "make more\n")]


@pytest.mark.slow
@pytest.mark.usefixtures("still")
@pytest.mark.parametrize("curl", ["stand-in", *(["real"] if shutil.which("curl") else [])])
@pytest.mark.parametrize(
    "tour",
    [
        blocks("README.md", "Try it"),
        blocks("docs/tour.md"),
        blocks("docs/administration.md"),
        # The first pairs sign up and log in.
        [*blocks("README.md", "Try it")[:4], *blocks("docs/api-keys.md", "Create and use a key")],
    ],
    ids=["README", "tour", "administration", "API keys"],
)
def test_the_tours_match_the_service(
    server: str, installed: Charter, tmp_path: Path, curl: str, tour: list[Block]
) -> None:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    if curl == "stand-in":
        (tmp_path / "curl").write_text(CURL.format(python=sys.executable))
        (tmp_path / "curl").chmod(0o700)
        path = f"{tmp_path}{os.pathsep}{path}"
    assert [block.language for block in tour] == ["sh", ""] * (len(tour) // 2)
    commands, responses = tour[::2], tour[1::2]
    script = "echo ----\n".join(block.text for block in commands).replace("http://127.0.0.1:8000", server)
    result = subprocess.run(
        ["/bin/sh"],
        input=script,
        check=True,
        cwd=installed.folder,
        env=installed.environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    # Commands write their events there, unless it is a terminal.
    assert [line for line in result.stderr.splitlines() if not line.startswith("{")] == []
    assert normalized(result.stdout).split("----\n") == [normalized(block.text) for block in responses]


def test_the_documented_scopes_are_scopes_of_a_user() -> None:
    assert set(DOCUMENTED_SCOPE.split()) <= set(USER_SCOPE.split())


def test_the_table_of_settings_is_complete_and_correct() -> None:
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (.+?) \| .+ \|$", page("docs/configuration.md"), re.MULTILINE))
    made = {name: f"`{name}` in the data folder" for name in ("secret", "pepper")}
    made["database_url"] = "`charter.db` in the data folder"
    made["hashes"] = "the worker's share of the cores"
    made |= {setting.name: "unset" for setting in fields(Config) if setting.default in ("", (), None)}
    assert rows == {variable(setting): made.get(setting.name, f"`{setting.default}`") for setting in fields(Config)}


def test_documented_make_targets_and_real_ones_correspond() -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", DOCUMENTS, re.MULTILINE)) == targets
    listed = re.findall(r"^\| `make ([a-z]+)` \|", section("CONTRIBUTING.md", "Make targets"), re.MULTILINE)
    assert sorted({*listed, "run", "help"}) == sorted(targets)
    assert block("make check").text == "make check\n"


@pytest.mark.slow
def test_make_run_installs_and_prints_the_addresses(tmp_path: Path) -> None:
    assert "make run     # installs, migrates and serves http://127.0.0.1:8000\n" in block("make run").text
    environment = {"PATH": os.environ["PATH"], "CHARTER_PORT": "0"}
    with subprocess.Popen(
        [*make("run"), f"BIN={BIN}"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        output = "".join(process.stdout.readline() for _ in range(6))
        url = output.partition("API            ")[2].partition("\n")[0]
        assert httpx.get(f"{url}/ready").status_code == 200
        # Ctrl-C sends SIGINT to every process on the terminal.
        os.killpg(process.pid, signal.SIGINT)
    # The revision is replaced, so that a new migration does not require a change of the README.
    promised = re.sub(r"revision \d{4}", f"revision {revisions.head()}", block("The database is at revision").text)
    assert output == promised.replace("http://127.0.0.1:8000", url)
    assert {"charter.db", "pepper", "secret"} <= {file.name for file in (tmp_path / "data").iterdir()}


def test_each_slow_step_of_make_says_what_it_does_and_how_long_it_takes(tmp_path: Path) -> None:
    for file in (
        "requirements.lock",
        "requirements-dev.lock",
        "setup.cfg",
        "pyproject.toml",
        "tests/node/package-lock.json",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    command = ["make", "-f", str(CHECKOUT / "Makefile"), "--dry-run", "run", "migration", "test"]
    environment = {"PATH": os.environ["PATH"]}
    lines = subprocess.check_output(command, cwd=tmp_path, env=environment, text=True).splitlines()
    slow = re.compile(r"-m venv|pip install|npm ci")
    # Two steps in a row may share a message.
    groups = [key for key, _ in groupby(lines, lambda line: "slow" if slow.search(line) else line)]
    before = [earlier for earlier, step in pairwise(groups) if step == "slow"]
    assert len(before) == 5
    assert all(re.fullmatch(r'echo ".+ takes .+ (seconds|minutes).*\."', line) for line in before), before


def test_make_run_checks_every_response(tmp_path: Path) -> None:
    charter = tmp_path / "charter"
    charter.write_text("#!/bin/sh\necho $CHARTER_CHECK_ANSWERS\n")
    charter.chmod(0o755)
    for variables, expected in (({}, "report"), ({"CHARTER_CHECK_ANSWERS": "off"}, "off")):
        made = subprocess.run(
            [*make("run"), f"BIN={tmp_path}"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **variables},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert made.stdout.split() == [expected] * 2


def test_make_test_runs_the_documented_checks() -> None:
    steps = {
        "format": "ruff format --check .",
        "style": "ruff check .",
        "types": "mypy",
        "tests": "pytest -n 4 -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true --ignore=tests/soak",
    }
    (claims,) = re.findall(r"^make test +# checks (.+)$", block("make run").text, re.MULTILINE)
    assert planned("test") == [f".venv/bin/{steps[claim]}" for claim in claims.split(", ")]


def planned(target: str) -> list[str]:
    """Return the commands that make would run for a target."""
    # A make that runs these tests would pass its own options on in the environment.
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.check_output([*make(target), "--dry-run"], cwd=CHECKOUT, env=environment, text=True).splitlines()


def make(target: str) -> list[str]:
    """Return the command for a target. `-o` keeps make from updating the environment of these tests."""
    installed = [option for step in ("run", "ruff", "test", "node") for option in ("-o", f".venv/.{step}")]
    return ["make", "-f", str(CHECKOUT / "Makefile"), *installed, target]


def test_every_documented_command_exists() -> None:
    named = re.findall(r"^charter ([a-z-]+(?: [a-z-]+)?)(?: [A-Z]+)* {2,}", block("charter serve ").text, re.MULTILINE)
    assert sorted(named) == sorted(commands(cli.main))


def commands(group: click.Group) -> Iterator[str]:
    """Yield all commands of a group and its subgroups, such as `serve` and `keys list`."""
    for name, command in group.commands.items():
        inner = commands(command) if isinstance(command, click.Group) else ()
        yield from [f"{name} {one}" for one in inner] or [name]


@pytest.mark.slow
def test_the_documented_program_verifies_tokens(server: str, travel: Travel) -> None:
    # The server's clock is as far ahead as Charter allows.
    travel(timedelta(seconds=LEEWAY_SECONDS) - (clock.now() - datetime.now(UTC)))
    with httpx.Client(base_url=server) as client:
        alice = newcomer(client, "alice")
    program = block("import jwt").text.replace("http://127.0.0.1:8000/", f"{server}/")
    show = f"print(verify({alice.token!r})['sub'])\nverify({alice.token[:-9]!r} + 'A' * 9)"
    seen = subprocess.run([sys.executable, "-c", program + show], check=False, capture_output=True, text=True)
    assert seen.stdout == f"{alice.id}\n"
    assert "jwt.exceptions.InvalidSignatureError" in seen.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_documented_command_generates_a_new_secret() -> None:
    line, path = block("python3 -c").text, f"{BIN}{os.pathsep}{os.environ['PATH']}"
    made = [
        subprocess.run(["/bin/sh"], input=line, check=True, env={"PATH": path}, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert len({parse_secret(text.strip()) for text in made}) == 2
    assert GENERATE_HINT.endswith(line.rstrip())


def test_a_new_secret_ends_all_sessions_and_keeps_passwords(config: Config) -> None:
    here = ("127.0.0.1", 50_000)
    with TestClient(create_app(config), client=here) as client:
        alice = newcomer(client, "alice")
        alice.log_in()
        cursor = alice.get("/api/v1/sessions?limit=1").json()["next_cursor"]
    with TestClient(create_app(replace(config, secret=bytes(range(64, 96)))), client=here) as client:
        alice.client = client
        assert alice.get("/protected").json()["code"] == "INVALID_TOKEN"
        assert alice.refresh().json()["code"] == "INVALID_REFRESH_TOKEN"
        assert alice.log_in().status_code == 200
        assert alice.get(f"/api/v1/sessions?cursor={cursor}").json()["code"] == "INVALID_INPUT"
        assert len(alice.get("/api/v1/sessions").json()["items"]) == 3


def test_the_documented_folders_are_complete() -> None:
    cells = re.findall(r"^\| (`.+?`) \|", section("docs/architecture.md", "Folders"), re.MULTILINE)
    named = [name for cell in cells for name in re.findall("`(.+?)`", cell)]
    found = [set(CHECKOUT.glob(re.sub("<[a-z]+>", "*", name.rstrip("/")))) for name in named]
    assert [name for name, files in zip(named, found, strict=True) if not files] == []
    described = set().union(*found)
    modules = {file for file in (CHECKOUT / "api").rglob("*.py") if file != CHECKOUT / "api/__init__.py"}
    assert {file for file in modules if not described & {file, *file.parents}} == set()


def test_every_file_in_the_architecture_page_exists() -> None:
    named = set(re.findall("`(api/[a-z_/]+[.]py)`", page("docs/architecture.md")))
    assert {name for name in named if not (CHECKOUT / name).is_file()} == set()


def test_the_steps_for_a_profile_column_name_each_file() -> None:
    builders = {
        str(file.relative_to(CHECKOUT))
        for file in (CHECKOUT / "api").rglob("*.py")
        if re.search(r"\bProfile\(|\bclass UserRow\b|created_at[.]label", file.read_text())
    }
    assert builders
    assert builders <= set(re.findall("`(api/.+?)`", section("docs/architecture.md", "A column of the profile")))


def test_the_diagram_names_existing_files_and_folders() -> None:
    stages = re.findall(r'\["([a-z ]+):', block("flowchart TD").text)
    assert len(stages) == 13
    names = [name.replace(" ", "_") for stage in stages for name in stage.split(" and ")]
    places = ("api", "api/contract", "api/contract/middleware")
    missing = {name for name in names if not any([*(CHECKOUT / place).glob(f"{name}*")] for place in places)}
    assert missing == set()


@pytest.mark.slow
def test_a_log_in_passes_through_the_documented_files(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "CHARTER_DATA_DIR": str(tmp_path), "CHARTER_BCRYPT_COST": "10"}
    subprocess.run([BIN / "charter", "migrate"], check=True, env=environment, capture_output=True)
    traced = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.support.traced_login"],
        check=True,
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    stages = re.findall(r"^\| [0-9]+ \| .*", page("docs/architecture.md"), re.MULTILINE)
    assert sorted(set(re.findall("`(api/.+?)`", "".join(stages)))) == traced.stdout.splitlines()


def test_the_readme_is_short() -> None:
    assert len(page("README.md").splitlines()) <= 200


def test_the_readme_repeats_the_measured_figures() -> None:
    """The README compares the speed with three services, in the order of this list."""
    compared = [
        ("GET /protected, a token seen before", "FastAPI async def"),
        ("GET /protected, a token seen before", "Connexion"),
        ("GET /api/v1/me on SQLite", "FastAPI, template"),
    ]
    measured = []
    for title, service in compared:
        (row,) = re.findall(rf"^\| {service} \|.*", section("benchmarks/RESULTS.md", title), re.MULTILINE)
        measured.append(float(row.split("|")[6]))
    (speed,) = re.findall(r"^\*\*Speed\.\*\*.*?\n\n", page("README.md"), re.MULTILINE | re.DOTALL)
    assert [float(figure) for figure in re.findall(r"([0-9]+\.[0-9])\s+times", speed)] == pytest.approx(
        measured, abs=0.06
    )
