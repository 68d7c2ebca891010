"""A schema, ready to validate: a compiled test accepts valid values, and jsonschema finds the errors of the others."""

from itertools import islice
from typing import Any

from jsonschema import ValidationError

from api.contract.schema.compiler import Compiler
from api.contract.schema.defaults import make_fill
from api.contract.schema.keywords import MOST_ERRORS


class SchemaValidator:
    """A validator of jsonschema that gets only the values that the compiled test rejects."""

    def __init__(self, exact: Any, compiler: Compiler) -> None:
        self.exact = exact
        self.accepts = compiler.predicate(exact)

    def is_valid(self, value: Any) -> bool:
        """Return True if a value has no errors. The search stops at the first one."""
        return self.accepts(value) or next(self.exact.iter_errors(value), None) is None

    def errors(self, value: Any) -> list[ValidationError]:
        """Return the errors of a value, at most the first 1,000. A valid value has none."""
        return [] if self.accepts(value) else list(islice(self.exact.iter_errors(value), MOST_ERRORS))


class RequestValidator(SchemaValidator):
    """The validator of a value in a request, which can have defaults."""

    def __init__(self, exact: Any, compiler: Compiler) -> None:
        super().__init__(exact, compiler)
        self._fill = make_fill(exact)

    def filled(self, value: Any) -> Any:
        """Return the same valid value, after adding the defaults of the properties that it does not have."""
        if self._fill is not None:
            self._fill(value)
        return value
