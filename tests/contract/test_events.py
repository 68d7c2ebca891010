"""The extensions `x-events` and `x-event`: what they may contain, and what they add to the contract."""

import pytest

from api import contract
from api.contract import ContractError
from tests.support.engine import OPERATION, SHARED, Engine, document


def write(engine: Engine, own: str, shared: str = "x-events: {thing_listed: Things were listed.}\n") -> None:
    """Write the contract of one operation with this text."""
    engine.write(document(OPERATION.replace("resp", f"{own}resp")))
    (engine.folder / "openapi.yaml").write_text(SHARED + shared)


def test_the_published_contract_lists_the_events(engine: Engine) -> None:
    write(engine, "description: All things., x-event: [thing_listed], ")
    (found,) = contract.Contract(contract.published(contract.load(engine.folder))).operations()
    assert found.definition["description"] == "All things.\n\nAudit events: `thing_listed`."


def test_a_reason_takes_the_place_of_events(engine: Engine) -> None:
    write(engine, "x-event: It changes nothing., ", "")
    (found,) = contract.load(engine.folder).operations()
    assert found.events == []


@pytest.mark.parametrize(
    ("own", "shared", "message"),
    [
        ("[]", "", "x-event must be a list of different events, or the reason why nothing is recorded"),
        ("''", "", "x-event must be a list"),
        ("{thing_listed: 1}", "", "x-event must be a list"),
        ("[thing_listed, thing_listed]", "", "x-event must be a list"),
        ("[thing_lost]", "", "unknown event 'thing_lost'; describe it in x-events of openapi.yaml"),
        ("[thing_listed]", "  thing_lost: Gone.\n", "nothing writes the event 'thing_lost'; add it to x-event"),
        ("[thing_listed]", "  thingLost: Gone.\n", "an event must consist of small letters, such as note_added, not"),
        ("[thing_listed]", "x-event: [thing_lost]\n", "unknown event 'thing_lost'; describe it in x-events"),
    ],
)
def test_invalid_events_prevent_the_start(engine: Engine, own: str, shared: str, message: str) -> None:
    write(engine, f"x-event: {own}, ", f"x-events:\n  thing_listed: Things were listed.\n{shared}")
    with pytest.raises(ContractError, match=message):
        contract.load(engine.folder)


def test_the_document_lists_events_that_no_operation_writes(engine: Engine) -> None:
    write(engine, "", "x-events: {thing_lost: Gone.}\nx-event: [thing_lost]\n")
    assert contract.load(engine.folder).document["x-event"] == ["thing_lost"]


@pytest.mark.parametrize(
    ("own", "shared", "is_broken"),
    [
        ("", "x-events: {thing_lost: Gone.}\nx-event: [thing_lost]\n", True),
        ("x-event: It changes nothing., ", "x-events: {thing_lost: Gone.}\nx-event: [thing_lost]\n", False),
        # Without an audit log, there is nothing to declare.
        ("", "", False),
    ],
)
def test_a_change_needs_events_or_a_reason(engine: Engine, own: str, shared: str, is_broken: bool) -> None:
    write(engine, own, shared)
    file = engine.folder / "a.yaml"
    file.write_text(file.read_text().replace("get:", "post:"))
    found = [fault.message for fault in contract.broken_rules(contract.load(engine.folder), {})]
    message = "an operation that is not GET needs x-event: events, or a sentence that says why none"
    assert (message in found) is is_broken
