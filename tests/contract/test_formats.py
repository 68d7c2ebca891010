"""Names of formats: a misspelled one prevents the start, and any other unknown one is a warning."""

import pytest

from api import contract
from api.contract import ContractError
from api.contract.schema.formats import DESCRIPTIONS, STANDARD
from tests.support.engine import Engine
from tests.support.schemas import BODY


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("date-tme", "did you mean 'date-time'?"),
        ("int-64", "did you mean 'int64'?"),
        ("emial", "did you mean 'email'?"),
        ("flaot", "did you mean 'float'?"),
        ("Date", "did you mean 'date'?"),
        ("UUID", "did you mean 'uuid'?"),
        ("DateTime", "did you mean 'date-time'?"),
        *((name, None) for name in ("color", "url", "urn", "guid", "ulid", "uuidv4", "base64", "int128", "float32")),
        *((name, None) for name in ("word", "phone", "cidr", "slug", "isbn", "jwt", "country-code", "money")),
        *((name, None) for name in sorted({*STANDARD, *DESCRIPTIONS})),
    ],
)
def test_only_a_misspelled_format_prevents_the_start(engine: Engine, name: str, error: str | None) -> None:
    engine.write(BODY.format(schema=f"{{type: string, format: {name}}}"))
    if error is None:
        engine.start()
    else:
        with pytest.raises(ContractError) as caught:
            engine.start()
        assert error in str(caught.value)


def test_unknown_formats_are_listed_with_a_close_match(engine: Engine) -> None:
    schema = "{type: object, properties: {link: {format: url}, id: {format: uuidv4}, hue: {format: frobnicate}}}"
    engine.write(BODY.format(schema=schema))
    assert [fault.message for fault in contract.unknown_formats(contract.load(engine.folder), engine.formats)] == [
        "unknown format 'url' is not checked; did you mean 'uri'?",
        "unknown format 'uuidv4' is not checked; did you mean 'uuid'?",
        "unknown format 'frobnicate' is not checked",
    ]
