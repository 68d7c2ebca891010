"""Containers: the files are valid, agree with the code, and the commands of the image run without an engine."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import httpx
import pytest
import yaml
from compose_spec import PyCompose

from api.cli import main as cli
from api.config import Config, read, variable
from api.crypto.secret import parse_secret
from api.runtime.shutdown import SHUTDOWN_TIMEOUT
from tests.support.charter import SECRETS, Charter, beside, free_port
from tests.support.databases import on_postgresql
from tests.support.image import Image, argument_of, image_environment
from tests.support.paths import BIN, CHECKOUT
from tests.support.patience import PATIENCE_SECONDS
from tests.support.person import newcomer
from tests.support.readme import blocks
from tests.support.shipped import CONTRACT

SETTINGS = {variable(setting) for setting in fields(Config)}
COMPOSE = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
JOB, DEPLOYMENT, SERVICE, BUDGET = yaml.safe_load_all((CHECKOUT / "deploy/kubernetes.yaml").read_text())
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
(MIGRATION,) = JOB["spec"]["template"]["spec"]["containers"]
OURS = [service for service in COMPOSE["services"].values() if service["image"].startswith("charter:")]


def test_the_dockerfile_passes_hadolint(tmp_path: Path) -> None:
    lint: list[str | Path] = [BIN / "hadolint", "--no-color"]
    result = subprocess.run(
        [*lint, CHECKOUT / "Dockerfile"], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")
    (tmp_path / "Dockerfile").write_text("FROM python\nCMD charter serve\n")
    result = subprocess.run(
        [*lint, tmp_path / "Dockerfile"], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert {"DL3006", "DL3025"} <= set(re.findall("DL[0-9]+", result.stdout))


def test_the_compose_file_is_valid() -> None:
    assert PyCompose.from_json(json.dumps(COMPOSE)).services.keys() == COMPOSE["services"].keys()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="readonly"):
        PyCompose.from_json(json.dumps(COMPOSE | {"services": {"a": {"image": "a", "readonly": True}}}))


@pytest.mark.slow
def test_the_kubernetes_resources_are_valid(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((CHECKOUT / "deploy/kubernetes.yaml").read_text().replace("readinessProbe", "readyProbe"))
    check: list[str | Path] = [BIN / "kubernetes-validate", "--strict", "--quiet"]
    results = [
        subprocess.run([*check, file], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        for file in (CHECKOUT / "deploy/kubernetes.yaml", wrong)
    ]
    assert [result.returncode for result in results] == [0, 1]
    assert results[0].stdout + results[0].stderr == ""


def test_the_caddyfile_is_formatted_and_valid() -> None:
    file = CHECKOUT / "deploy/Caddyfile"
    for command in (["fmt", "--diff"], ["validate", "--adapter", "caddyfile", "--config"]):
        result = subprocess.run(
            [BIN / "caddy", *command, file], check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert "warn" not in result.stderr


def test_every_variable_is_a_setting() -> None:
    kubernetes = {variable["name"] for variable in CONTAINER["env"]}
    compose = {name for service in OURS for name in service["environment"]}
    image = {name for name in image_environment() if name not in {"PATH", "PYTHONDONTWRITEBYTECODE"}}
    assert {"CHARTER_HOST"} <= image
    assert {"DATABASE_URL", "CHARTER_SECRET", "CHARTER_PEPPER"} <= compose
    assert kubernetes | compose | image <= SETTINGS


def test_every_command_is_a_command_of_charter() -> None:
    assert argument_of("ENTRYPOINT") == '["charter"]'
    arguments = [*(service["command"] for service in OURS if "command" in service), json.loads(argument_of("CMD"))]
    arguments += [CONTAINER["args"], MIGRATION["args"]]
    assert {word for word, *_ in arguments} == {"migrate", "serve"}
    for word, *options in arguments:
        known = {name for option in cli.main.commands[word].params for name in option.opts}
        assert set(options) <= known


def test_every_probed_path_is_a_public_operation() -> None:
    text = argument_of("HEALTHCHECK") + json.dumps(COMPOSE) + (CHECKOUT / "deploy/Caddyfile").read_text()
    probed = {*re.findall(r"http://127\.0\.0\.1:8000(/[a-z]+)", text), *re.findall("health_uri (.*)", text)}
    probed |= {CONTAINER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    public = {
        operation.path for operation in CONTRACT.operations() if operation.method == "get" and not operation.security
    }
    assert probed == {"/ping", "/ready"} <= public


def test_all_files_use_the_same_port() -> None:
    port = str(Config.port)
    assert argument_of("EXPOSE") == port
    assert f"127.0.0.1:{port}/" in argument_of("HEALTHCHECK")
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    environment = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    assert ports == {"http": int(port), "metrics": int(environment["CHARTER_METRICS_PORT"])}
    assert f"charter-1:{port} charter-2:{port}" in (CHECKOUT / "deploy/Caddyfile").read_text()


def test_no_file_contains_a_secret() -> None:
    given = [
        value
        for service in COMPOSE["services"].values()
        for name, value in service.get("environment", {}).items()
        if re.search("SECRET|PEPPER|PASSWORD|_URL", name)
    ]
    assert len(given) == 16
    required = r"\$\{(POSTGRES_PASSWORD|CHARTER_SECRET|CHARTER_PEPPER):\?"
    optional = r"^\$\{CHARTER_(PUBLIC|SMTP)_URL:-\}$"
    assert all(re.search(f"{required}|{optional}", value) for value in given)
    for container in (CONTAINER, MIGRATION):
        assert container["envFrom"] == [{"secretRef": {"name": "charter"}}]
    assert "/.env" in (CHECKOUT / ".gitignore").read_text().split()


def test_the_grace_period_covers_drain_and_shutdown() -> None:
    environment = {variable["name"]: variable["value"] for variable in CONTAINER["env"]}
    drain, probe = int(environment["CHARTER_DRAIN_SECONDS"]), CONTAINER["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < drain
    assert drain + SHUTDOWN_TIMEOUT + 3 <= POD["terminationGracePeriodSeconds"]
    for name in ("charter-1", "charter-2"):
        service = COMPOSE["services"][name]
        drain, grace = (int(service["environment"]["CHARTER_DRAIN_SECONDS"]), service["stop_grace_period"])
        # The proxy checks the health of its backends every second.
        assert drain > 1
        assert drain + SHUTDOWN_TIMEOUT + 3 <= int(grace.removesuffix("s"))
    assert argument_of("STOPSIGNAL") == "SIGTERM"


def test_containers_run_with_minimal_privileges() -> None:
    user, _, group = argument_of("USER").partition(":")
    for pod in (POD, JOB["spec"]["template"]["spec"]):
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], str(context["runAsUser"]), str(context["runAsGroup"])) == (True, user, group)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        # The variables of the Service `charter` look like settings.
        assert pod["enableServiceLinks"] is False
    for container in (CONTAINER, MIGRATION):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for service in COMPOSE["services"].values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_a_disruption_leaves_one_replica() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    selectors = [SERVICE["spec"]["selector"], BUDGET["spec"]["selector"]["matchLabels"]]
    assert selectors == [labels] * 2 == [DEPLOYMENT["spec"]["selector"]["matchLabels"]] * 2
    assert DEPLOYMENT["spec"]["replicas"] > BUDGET["spec"]["minAvailable"] >= 1
    assert JOB["spec"]["template"]["metadata"]["labels"].items().isdisjoint(labels.items())


@pytest.mark.slow
def test_the_docs_create_secrets_that_are_accepted(tmp_path: Path) -> None:
    compose, kubernetes = blocks("docs/containers.md")
    make, _, start = compose.text.rstrip().rpartition("\n")
    assert start == "docker compose up --build"
    subprocess.run(["/bin/sh", "-ec", make], check=True, cwd=tmp_path, timeout=PATIENCE_SECONDS)
    file = tmp_path / ".env"
    made = dict(line.split("=", 1) for line in file.read_text().splitlines())
    assert made.keys() == {"POSTGRES_PASSWORD", "CHARTER_SECRET", "CHARTER_PEPPER"}
    assert len({parse_secret(secret) for secret in made.values()}) == 3
    assert file.stat().st_mode & 0o777 == 0o600
    words = kubernetes.text.split()
    assert words[:5] == ["kubectl", "create", "secret", "generic", CONTAINER["envFrom"][0]["secretRef"]["name"]]
    assert (CHECKOUT / words[-1]).is_file()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    image = Image(tmp_path_factory.mktemp("image"))
    image.build()
    return image


@on_postgresql
def test_the_image_builds_and_its_commands_serve(image: Image, config: Config) -> None:
    within = {name: image.within(value) for name, value in image_environment().items()}
    path = within.pop("PATH").replace("$PATH", os.defpath)
    settings = beside(config).settings
    working = Path(image.within(argument_of("WORKDIR")))
    # The image listens on all interfaces. The test needs only this one.
    environment = within | settings | {"CHARTER_HOST": "127.0.0.1", "CHARTER_PORT": str(free_port())}
    command = Path(shutil.which(json.loads(argument_of("ENTRYPOINT"))[0], path=path) or "missing")
    assert command.is_relative_to(image.root)
    charter = Charter(working, environment, command)
    assert charter.run(*MIGRATION["args"]).returncode == 0
    port = environment["CHARTER_PORT"]
    health = [
        word.replace(":8000/", f":{port}/") for word in json.loads(argument_of("HEALTHCHECK").partition("CMD ")[2])
    ]

    def is_healthy() -> bool:
        result = subprocess.run(health, check=False, env={"PATH": path}, capture_output=True, timeout=PATIENCE_SECONDS)
        return result.returncode == 0

    assert not is_healthy()
    # The log is outside the folders that are read-only in the container.
    with replace(charter, folder=config.data_dir).serving() as server, httpx.Client(base_url=server.url) as client:
        assert is_healthy()
        assert newcomer(client, "alice").get("/protected").status_code == 200
        assert server.stop() == 0
    assert list(working.iterdir()) == []


def unit() -> dict[str, list[str]]:
    """Return the values of each setting of the systemd unit."""
    found: dict[str, list[str]] = {}
    for line in (CHECKOUT / "deploy/charter.service").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_systemd_unit_has_valid_settings_and_commands() -> None:
    service = unit()
    environment = dict(value.split("=", 1) for value in service["Environment"])
    assert environment.keys() <= SETTINGS
    assert read(environment | SECRETS | {"DATABASE_URL": "postgresql://a@b/c"})["workers"] == 2
    for command in service["ExecStartPre"] + service["ExecStart"]:
        path, name = command.split()
        assert path == "/opt/charter/bin/charter"
        assert name in cli.main.commands
    # systemd creates these folders.
    assert environment["CHARTER_DATA_DIR"] == f"/var/lib/{service['StateDirectory'][0]}"
    assert environment["CHARTER_HOST"].startswith(f"unix:/run/{service['RuntimeDirectory'][0]}/")
    # A second SIGTERM skips the drain period, so the workers must not get one from systemd.
    assert service["KillMode"] == ["mixed"]
    assert int(service["TimeoutStopSec"][0]) > int(environment.get("CHARTER_DRAIN_SECONDS", "0")) + 10
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
