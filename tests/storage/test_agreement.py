"""Schema and database agree: each value that the contract accepts fits its column, and the other way round.

The mapping follows from names. A body with the schema `NewUser` is stored in the table of the model `User`. Each
property is in the column of its name, its canonical form in `<property>_key`, and its hash in `<property>_hash`.
test_extremes shows that the databases store such values.
"""

import re
import sys
from collections.abc import Iterator
from math import inf
from typing import Any, NamedTuple

import pytest
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.types import TypeEngine

from api import contract, models
from api.clock import now, rfc3339
from api.config.paths import resource_dir
from api.contract.document.operation import Json, resolve
from api.services.names import canonical, email_key, is_email, normalize_email
from api.storage.database import Base, UtcDateTime, new_id

CONTRACT = contract.load(resource_dir("openapi"))
SCHEMAS: dict[str, Json] = CONTRACT.document["components"]["schemas"]
TABLES: dict[str, Table] = {name: getattr(models, name).__table__ for name in models.__all__}
COLUMNS = [column for table in Base.metadata.sorted_tables for column in table.c]
# Bodies that are not stored in a table.
NOT_STORED = {
    "Credentials": "Both members are only compared.",
    "DeletionRequest": "The password is only compared.",
    "EmailChange": "The email is stored in users.pending_email, in the type of users.email.",
    "EmailCode": "The code is compared with a digest.",
    "Invitation": "The outbox has the email only until the mail is sent.",
    "NewServiceAccount": "The scopes become one text. test_services checks the lengths.",
    "PasswordReset": "The code is compared with a digest, and the new password is stored like NewUser's.",
    "PasswordResetRequest": "The outbox has the email only until the mail is sent.",
    "PasswordChange": "Only the hash of the new password is stored, like NewUser's.",
    "SignUpCompletion": "The code is compared with a digest, and the rest is stored like NewUser's.",
    "SignUpRequest": "The outbox has the email only until the mail is sent.",
    "RefreshToken": "It is compared with a digest. The server generates the next token.",
    "RoleChange": "The role is one of the roles of the contract, whose names fit users.role.",
    "UserCreation": "The role is like RoleChange's, and the rest is stored like NewUser's and ProfileChange's.",
    "Restoration": "The code is compared with a digest.",
    "SecretRotation": "The server generates the next secret.",
    "StepUp": "The current password is only compared.",
    "TokenQuestion": "A token is verified, or compared with a digest.",
    "TokenRequest": "The scopes become part of a token.",
}
# Bodies that change rows of a table.
CHANGES = {"ProfileChange": "User"}
# Columns that no body fills and that have no default and no foreign key.
MADE = {
    "changes.id": "Counted by the database.",
    "changes.subject": "Written by a trigger: an id or an empty text.",
    "changes.topic": "Written by a trigger: the name of a table.",
    "codes.created_at": "The time of the request, or that at which the mail was prepared.",
    "codes.digest": "An HMAC-SHA-256.",
    "codes.email": "An email of a user or a request, in the type of users.email.",
    "codes.email_key": "The canonical form of the user's email, in the type of users.email_key.",
    "codes.expires_at": "Computed from the time of its creation.",
    "codes.id": "The id of the mail.",
    "codes.purpose": "One of the purposes in api/services/codes.py.",
    "event_origins.event_id": "The id of the event.",
    "event_origins.ip_address": "Read from the connection.",
    "event_origins.user_agent": "A header, truncated to the length of the column.",
    "event_origins.user_id": "The id of a user, who may have been deleted since.",
    "events.actor": "One of six names.",
    "events.actor_id": "The id of the caller, who may have been deleted since.",
    "events.at": "The time of the event.",
    "events.event": "A name in x-events of the contract.",
    "events.facts": "Ids, reasons and numbers.",
    "events.id": "Generated with the event.",
    "events.operation": "The operationId of the request.",
    "events.request_id": "Generated with the request.",
    "events.session_id": "The id of a session, which may have ended since.",
    "events.user_id": "The id of a user, who may have been deleted since.",
    "events_purge.before": "Computed from CHARTER_EVENT_DAYS.",
    "events_purge.id": "Always 1.",
    "known_places.digest": "An HMAC-SHA-256, truncated.",
    "known_places.noticed_at": "The time of a notice.",
    "known_places.seen_at": "The time of a log-in.",
    "outbox.address": "An email of a user or a request, in the type of users.email.",
    "outbox.attempts": "Counted by the delivery worker.",
    "outbox.claim": "Generated by the delivery worker.",
    "outbox.created_at": "The time of the request.",
    "outbox.due_at": "The time of the next attempt.",
    "outbox.error": "The reason of a failure, truncated to the length of the column.",
    "outbox.expires_at": "Computed from the time of the request.",
    "outbox.facts": "Values for the template.",
    "outbox.id": "Generated by the request.",
    "outbox.locale": "The name of a folder of templates.",
    "outbox.sent_at": "The time of the last attempt.",
    "outbox.state": "One of three names.",
    "outbox.template": "The name of a template.",
    "outbox.user_id": "The id of a user, who may have been deleted since.",
    "retired_names.key": "A canonical username, in the type of users.username_key.",
    "retired_names.until": "Computed from the time of the change.",
    "service_secrets.created_at": "The time of a rotation.",
    "service_secrets.digest": "A SHA-256.",
    "service_secrets.expires_at": "Computed from the time of a rotation.",
    "service_secrets.hint": "The start of a generated secret.",
    "service_secrets.id": "Generated with the secret.",
    "services.created_at": "The time of the request.",
    "services.created_by": "The id of a user, who may have been deleted since.",
    "services.disabled_at": "The time of `charter services disable`.",
    "services.id": "Generated by the request.",
    "services.name": "The name in a request.",
    "services.name_key": "The canonical form of the name.",
    "services.scopes": "The scopes in a request, separated by spaces.",
    "sessions.authenticated_at": "The time at which the password was checked again.",
    "sessions.created_at": "The time of the log-in.",
    "sessions.expires_at": "Computed from the time of the last use.",
    "sessions.family": "An HMAC-SHA-256.",
    "sessions.id": "Generated at the log-in.",
    "sessions.ip_address": "Read from the connection.",
    "sessions.last_used_at": "The time of the last refresh.",
    "sessions.refresh_token": "A SHA-256.",
    "sessions.refreshes": "The times of the latest refreshes.",
    "sessions.user_agent": "A header, truncated to the length of the column.",
    "signing_keys.activated_at": "The time of a rotation.",
    "signing_keys.algorithm": "One of the four supported algorithms.",
    "signing_keys.created_at": "The time of the key's creation.",
    "signing_keys.id": "16 random hexadecimal digits.",
    "signing_keys.retires_at": "Computed from the time of a rotation.",
    "signing_keys.sealed": "The encrypted key.",
    "users.deletes_at": "Computed from the time of the request.",
    "users.disabled_at": "The time of `charter users disable`.",
    "users.email_verified_at": "The time at which a code from a mail was used.",
    "users.pending_email": "Null for a new user.",
}
# Properties of a response that have no column.
COMPUTED = {"Session.current", "User.email_verified"}
# Properties that any object fits.
OPEN = {"Event.facts"}
BITS = {SmallInteger: 16, Integer: 32, BigInteger: 64}


class Span(NamedTuple):
    """Values of a JSON type: the range of text lengths or numbers, and whether null is allowed."""

    type: str
    least: float
    most: float
    null: bool

    def within(self, other: "Span") -> bool:
        """Return True if the other span contains this one."""
        fits = other.least <= self.least and self.most <= other.most
        return self.type == other.type and fits and self.null <= other.null


def allowed(schema: Json) -> Span:
    """Return the span of a schema."""
    limits = {"string": ("minLength", "maxLength"), "integer": ("minimum", "maximum")}
    low, high = limits[schema["type"]]
    least = 0 if low == "minLength" else -inf
    return Span(schema["type"], schema.get(low, least), schema.get(high, inf), schema.get("nullable", False))


def held(column: Column[Any]) -> Span:
    """Return the span that a column can store in at least one database. On SQLite only a CHECK is a limit."""
    spans: dict[type[TypeEngine[Any]], tuple[str, float, float]] = {
        Uuid: ("string", len(str(new_id())), len(str(new_id()))),
        UtcDateTime: ("string", len(rfc3339(now())), len(rfc3339(now()))),
        String: ("string", *checked(column)),
        Integer: ("integer", -(2**63), 2**63 - 1),
    }
    # An unknown type fails the test: add its span above.
    (span,) = (span for kind, span in spans.items() if isinstance(column.type, kind))
    return Span(*span, null=bool(column.nullable))


def checked(column: Column[Any]) -> tuple[float, float]:
    """Return the minimum and the maximum length that the CHECK of a column allows."""
    rules = {*column.table.constraints, *column.constraints}
    for check in (rule for rule in rules if isinstance(rule, CheckConstraint)):
        if listed := re.fullmatch(r"(\w+) IN \(('\w+'(?:, '\w+')*)\)", str(check.sqltext)):
            lengths = [len(name) for name in re.findall(r"\w+", listed[2])]
            if listed[1] == column.name:
                return min(lengths), max(lengths)
            continue
        rule = re.fullmatch(r"length\((\w+)\) BETWEEN (\d+) AND (\d+)", str(check.sqltext))
        assert rule, f"add the meaning of {check.sqltext} to this test"
        if rule[1] == column.name:
            return int(rule[2]), int(rule[3])
    return 0, inf


def taken(column: Column[Any]) -> Span:
    """Return the span that a column accepts in both databases."""
    span = held(column)
    if isinstance(column.type, Integer):
        bits = BITS[type(column.type)]
        return span._replace(least=-(2 ** (bits - 1)), most=2 ** (bits - 1) - 1)
    return span._replace(most=min(span.most, getattr(column.type, "length", None) or inf))


def bodies() -> Iterator[tuple[str, Json]]:
    """Yield the name and the schema of each request body."""
    for operation in CONTRACT.operations():
        for content in (operation.body or {}).get("content", {}).values():
            name = content["schema"]["$ref"].rpartition("/")[2]
            yield name, SCHEMAS[name]


def stored() -> Iterator[tuple[Column[Any], str, Json]]:
    """Yield each column that a property fills, with the name and the schema of the property."""
    for body, schema in bodies():
        if body not in NOT_STORED:
            columns = TABLES[CHANGES.get(body, body.removeprefix("New"))].c
            for name, part in schema["properties"].items():
                filled = [columns[form] for form in (name, f"{name}_key", f"{name}_hash") if form in columns]
                assert filled, f"{body}.{name} is in no column"
                yield from ((column, name, resolve(part, CONTRACT.document)) for column in filled)


def test_every_body_has_a_table_or_a_reason_for_having_none() -> None:
    names = {name for name, _ in bodies()}
    assert names - NOT_STORED.keys() - CHANGES.keys() <= {f"New{model}" for model in TABLES}
    assert names >= NOT_STORED.keys()


def test_every_column_has_a_source() -> None:
    made = {str(column) for column in COLUMNS if column.default is not None or column.foreign_keys}
    filled = {str(column) for column, *_ in stored()}
    assert filled & made == set()
    assert {str(column) for column in COLUMNS} - filled - made == MADE.keys()


def test_each_value_that_the_contract_accepts_fits_its_column() -> None:
    found = {
        str(column): allowed(schema).within(taken(column)) for column, name, schema in stored() if column.name == name
    }
    assert found == dict.fromkeys(found, True) != {}


def test_each_value_of_a_column_fits_the_response_that_shows_it() -> None:
    shown = TABLES.keys() & SCHEMAS.keys() - {name for name, _ in bodies()}
    assert shown
    for model in shown:
        for name, part in SCHEMAS[model]["properties"].items():
            if f"{model}.{name}" in COMPUTED | OPEN:
                continue
            span = allowed(resolve(part, CONTRACT.document))
            # A response leaves out a null unless it requires the property.
            span = span._replace(null=span.null or name not in SCHEMAS[model]["required"])
            assert held(TABLES[model].c[name]).within(span), f"{model}.{name}"


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (String(9), {"type": "string", "maxLength": 10}),
        (String(9), {"type": "string"}),
        (Text(), {"type": "string", "nullable": True}),
        (Text(), {"type": "integer", "minimum": 0, "maximum": 9}),
        (Integer(), {"type": "integer", "minimum": 0, "maximum": 2**31}),
        (BigInteger(), {"type": "integer", "minimum": -(2**63) - 1, "maximum": 0}),
        (SmallInteger(), {"type": "integer", "minimum": 0}),
        (Integer(), {"type": "string", "maxLength": 1}),
    ],
)
def test_a_value_that_does_not_fit_is_detected(kind: TypeEngine[Any], schema: Json) -> None:
    table = Table("some", MetaData(), Column("column", kind, nullable=False))
    assert not allowed(schema).within(taken(table.c.column))


def test_a_check_limits_the_values_of_its_column() -> None:
    check = CheckConstraint("length(column) BETWEEN 2 AND 8")
    table = Table("some", MetaData(), Column("column", String(9), nullable=False), check)
    assert taken(table.c.column) == held(table.c.column) == Span("string", 2, 8, False)
    assert not allowed({"type": "string", "minLength": 1, "maxLength": 8}).within(taken(table.c.column))


def test_a_hash_column_has_no_limit() -> None:
    hashes = {column for column, name, _ in stored() if column.name == f"{name}_hash"}
    assert {taken(column)[:3] for column in hashes} == {("string", 0, inf)}


def test_every_index_entry_fits_a_page_of_postgresql() -> None:
    largest, bytes_of_a_character = 2704, 4
    for table in Base.metadata.sorted_tables:
        unique = [rule.columns for rule in table.constraints if isinstance(rule, UniqueConstraint)]
        for columns in (*unique, *(index.columns for index in table.indexes)):
            texts = [taken(table.c[column.key]).most for column in columns if isinstance(column.type, String)]
            assert sum(texts) * bytes_of_a_character <= largest, list(columns)


CHARACTERS = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


@pytest.mark.slow
def test_a_username_has_only_characters_that_do_not_grow() -> None:
    pattern = SCHEMAS["NewUsername"]["pattern"]
    let_in = [character for character in CHARACTERS if re.search(pattern, f"a{character}a")]
    assert len(let_in) == 26 + 26 + 10 + len("._-")
    assert {len(canonical(character)) for character in let_in} == {1}
    columns = TABLES["User"].c
    assert taken(columns["username"]).most <= taken(columns["username_key"]).most


@pytest.mark.slow
def test_an_email_that_outgrows_its_columns_is_rejected() -> None:
    tried = [address for character in CHARACTERS if len(canonical(character)) > 1 for address in addresses(character)]
    kept = [normalize_email(address) for address in tried if is_email(address)]
    assert 1000 < len(kept) < len(tried)
    columns = TABLES["User"].c
    assert max(map(len, kept)) <= taken(columns["email"]).most
    # Some emails come close to the limit, so the test is not vacuous.
    assert max(len(email_key(email)) for email in kept) == taken(columns["email_key"]).most


def addresses(character: str) -> Iterator[str]:
    """Yield addresses of one character: a short one, the longest that fits, and the first that does not."""
    growth, domain = len(canonical(character)), "@example.com"
    for length in (1, (254 - len(domain)) // growth, (254 - len(domain)) // growth + 1):
        rest = "a" * (254 - len(domain) - length * growth)
        yield f"{(character * length + rest)[:64]}{domain}"
    yield f"{'a' * 64}@{'.'.join([character * 9] * 8)}.com"
