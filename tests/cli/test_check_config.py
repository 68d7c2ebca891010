"""`charter check-config`: it shows the settings, or all of their errors."""

import os

from tests.support.charter import SECRETS, Charter

MAKE_ONE = "generate one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
SHOWN = """\
CHARTER_HOST=127.0.0.1
CHARTER_PORT=0
CHARTER_DATA_DIR={data}
DATABASE_URL=postgresql+psycopg://charter:***@db.example/charter
CHARTER_DATABASE_CONNECTIONS=40
CHARTER_SECRET=(set)
CHARTER_PEPPER=(set)
CHARTER_PUBLIC_URL=
CHARTER_ISSUER=http://127.0.0.1:8000
CHARTER_AUDIENCE=charter
CHARTER_CLIENT_ID=charter
CHARTER_ACCESS_TOKEN_SECONDS=900
CHARTER_SESSION_IDLE_SECONDS=2592000
CHARTER_SESSION_SECONDS=7776000
CHARTER_REFRESH_GRACE_SECONDS=30
CHARTER_SESSIONS_PER_USER=100
CHARTER_SIGNING_ALGORITHM=ES256
CHARTER_BCRYPT_COST=10
CHARTER_HASHES={cores}
CHARTER_BODY_BYTES=65536
CHARTER_BODY_SECONDS=10
CHARTER_KEEPALIVE_SECONDS=75
CHARTER_TRUSTED_PROXIES=10.0.0.0/8,::1
CHARTER_FORWARDED=x-forwarded-for
CHARTER_IPV6_PREFIX=64
CHARTER_CORS_ORIGINS=
CHARTER_COOKIES=off
CHARTER_RATE_LIMITS=logIn.address=300/60,signUp.address=off
CHARTER_LIMIT_ROWS=1000000
CHARTER_SMTP_URL=mail.example.com:587
CHARTER_MAIL_FROM=Example <no-reply@example.com>
CHARTER_LINK_URL=
CHARTER_MAIL_TEMPLATES=
CHARTER_LOCALE=en
CHARTER_MAIL_DAYS=7
CHARTER_SIGN_UP=open
CHARTER_UNVERIFIED=allowed
CHARTER_DELETION_DAYS=7
CHARTER_NAME_DAYS=90
CHARTER_EVENT_DAYS=365
CHARTER_EVENT_ORIGIN_DAYS=30
CHARTER_KEY_PREFIX=charter
CHARTER_KEY_DAYS=365
CHARTER_CHECK_ANSWERS=off
CHARTER_BACKGROUND=on
CHARTER_WORKERS=1
CHARTER_DRAIN_SECONDS=0
CHARTER_METRICS_HOST=127.0.0.1
CHARTER_METRICS_PORT=0
CHARTER_TRACES_URL=off
CHARTER_LOG_FORMAT=auto
"""
"""The output for the settings of the first test."""


def test_check_config_shows_every_setting_and_no_secret(charter: Charter) -> None:
    charter.settings = {
        "DATABASE_URL": "postgres://charter:hunter2@db.example/charter",
        **SECRETS,
        "CHARTER_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
        "CHARTER_RATE_LIMITS": "logIn.address=300/60, signUp.address=off",
        "CHARTER_SMTP_URL": "smtp://user:hunter2@mail.example.com",
        "CHARTER_MAIL_FROM": "Example <no-reply@example.com>",
    }
    result = charter.run("check-config")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == SHOWN.format(data=charter.data, cores=len(os.sched_getaffinity(0)))
    assert not charter.data.exists()


def test_check_config_creates_nothing(charter: Charter) -> None:
    before = charter.run("check-config")
    assert (before.returncode, before.stderr) == (0, "")
    assert before.stdout.splitlines()[3:7] == [
        f"DATABASE_URL=sqlite:///{charter.data}/charter.db",
        "CHARTER_DATABASE_CONNECTIONS=40",
        "CHARTER_SECRET=(created at the first start)",
        "CHARTER_PEPPER=(created at the first start)",
    ]
    assert not charter.data.exists()
    assert charter.run("migrate").returncode == 0
    assert charter.run("check-config").stdout.splitlines()[5:7] == ["CHARTER_SECRET=(set)", "CHARTER_PEPPER=(set)"]


def test_check_config_lists_all_errors(charter: Charter) -> None:
    charter.settings = {
        "CHARTER_PORT": "http",
        "CHARTER_PROT": "8080",
        "DATABASE_URL": "postgresql://charter:hunter2@db.example/charter",
        "CHARTER_SECRET": "hunter2",
        "CHARTER_LOG_FORMAT": "xml",
    }
    result = charter.run("check-config")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: CHARTER_PORT must be a whole number from 0 to 65535\n"
        f"       CHARTER_SECRET must be at least 256 random bits; {MAKE_ONE}\n"
        "       CHARTER_LOG_FORMAT must be one of auto, text, json\n"
        "       unknown setting CHARTER_PROT; did you mean CHARTER_PORT?\n"
        f"       CHARTER_PEPPER must be set, because several hosts can share the database; {MAKE_ONE}\n"
    )


def test_check_config_rejects_an_unknown_rate_limit(charter: Charter) -> None:
    charter.settings["CHARTER_RATE_LIMITS"] = "logn.address=1/1"
    result = charter.run("check-config")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "Error: no operation has the rate limit logn.address; did you mean logIn.address?\n"


def test_each_command_prints_the_warnings(charter: Charter) -> None:
    charter.settings["CHARTER_WEATHER"] = "fair"
    for command in ("check-config", "migrate"):
        result = charter.run(command)
        assert (result.returncode, result.stderr) == (0, "Warning: unknown setting CHARTER_WEATHER has no effect\n")
