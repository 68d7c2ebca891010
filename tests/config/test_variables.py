"""Unknown variables: misspelt settings are rejected, others are warnings, and those of Kubernetes are ignored."""

from dataclasses import fields

import pytest

from api.config import Config, find_warnings, load, variable, variables
from tests.config.test_settings import SHARED, refusal


def test_an_unknown_variable_that_resembles_a_setting_is_rejected() -> None:
    environ = SHARED | {"CHARTER_PROT": "8080", "CHARTER_BCRYPT_COSTS": "13", "CHARTER_EMPTY": "", "CHARTS": "1"}
    environ |= {"CHARTER_WEATHER": "fair"}
    assert refusal(environ).splitlines() == [
        "unknown setting CHARTER_PROT; did you mean CHARTER_PORT?",
        "unknown setting CHARTER_BCRYPT_COSTS; did you mean CHARTER_BCRYPT_COST?",
    ]


def test_an_unknown_variable_that_resembles_no_setting_is_a_warning() -> None:
    environ = SHARED | {"CHARTER_WEATHER": "fair", "CHARTER_EMPTY": "", "CHARTS": "1", "CHARTER_PROT": "8080"}
    assert find_warnings(environ) == ["unknown setting CHARTER_WEATHER has no effect"]


# The variables that Kubernetes adds for the Services `charter`, `charter-db` and `charter-metrics`.
SERVICE_LINKS = {
    "CHARTER_SERVICE_HOST": "10.0.0.1",
    "CHARTER_SERVICE_PORT": "80",
    "CHARTER_SERVICE_PORT_HTTP": "80",
    "CHARTER_PORT": "tcp://10.0.0.1:80",
    "CHARTER_PORT_80_TCP": "tcp://10.0.0.1:80",
    "CHARTER_PORT_80_TCP_PROTO": "tcp",
    "CHARTER_PORT_80_TCP_PORT": "80",
    "CHARTER_PORT_80_TCP_ADDR": "10.0.0.1",
    "CHARTER_DB_SERVICE_HOST": "10.0.0.2",
    "CHARTER_DB_SERVICE_PORT_POSTGRESQL": "5432",
    "CHARTER_DB_PORT": "tcp://10.0.0.2:5432",
    "CHARTER_DB_PORT_5432_TCP_ADDR": "10.0.0.2",
    "CHARTER_METRICS_SERVICE_PORT": "9000",
    "CHARTER_METRICS_PORT": "tcp://10.0.0.3:9000",
    "CHARTER_METRICS_PORT_9000_UDP": "udp://10.0.0.3:9000",
}


def test_variables_of_kubernetes_services_are_ignored() -> None:
    assert load(SHARED | SERVICE_LINKS) == load(SHARED)
    assert find_warnings(SHARED | SERVICE_LINKS) == []
    assert not any(variables.without_service_links({variable(each): ""}) == {} for each in fields(Config))


@pytest.mark.parametrize("text", ["8080", "tcp"])
def test_a_port_that_is_not_a_url_of_kubernetes_is_a_setting(text: str) -> None:
    environ = SHARED | {"CHARTER_PORT": text}
    if text == "8080":
        assert load(environ).port == 8080
    else:
        assert refusal(environ) == "CHARTER_PORT must be a whole number from 0 to 65535"
