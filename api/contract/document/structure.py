"""Check the structure of a document against the JSON Schema of the OpenAPI specification."""

from connexion.spec import OpenAPISpecification, create_spec_validator
from jsonschema import ValidationError

from api.contract.document.model import ContractError
from api.contract.document.operation import Json


def check_structure(document: Json) -> None:
    """Raise ContractError if a part of the document is missing, misspelled or of a wrong type."""
    validator = create_spec_validator(document)(OpenAPISpecification.openapi_schema)
    for error in validator.iter_errors(document):
        cause = _cause(error)
        raise ContractError(f"{' > '.join(map(str, cause.absolute_path))}: {cause.message}")


def _cause(error: ValidationError) -> ValidationError:
    """Return the most deeply nested cause of an error.

    At equal depth, an unknown property explains more than a missing reference.
    """
    while error.context:
        error = max(error.context, key=lambda part: (len(part.absolute_path), part.validator == "additionalProperties"))
    return error
