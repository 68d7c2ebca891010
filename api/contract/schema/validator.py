"""A schema, ready to validate: a compiled test accepts valid values, and jsonschema finds the errors of the others."""

from typing import Any

from jsonschema import ValidationError

from api.contract.schema.compiler import compile_predicate


class SchemaValidator:
    """A validator of jsonschema that is only asked about values that the compiled test rejects."""

    def __init__(self, exact: Any) -> None:
        self._exact = exact
        self._fits = compile_predicate(exact)

    def errors(self, value: Any) -> list[ValidationError]:
        """Return all errors of a value. A valid value has none."""
        return [] if self._fits(value) else list(self._exact.iter_errors(value))
