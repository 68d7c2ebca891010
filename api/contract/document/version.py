"""The version of OpenAPI that a document has."""

from api.contract.document.faults import Faults
from api.contract.document.operation import Json


def is_3_1(document: Json) -> bool:
    """Return True for a document of OpenAPI 3.1, and False for 3.0."""
    return str(document.get("openapi")).startswith("3.1")


def check_version(document: Json, faults: Faults) -> None:
    """Add the fault of a document that is not OpenAPI 3.0 or 3.1."""
    version = document.get("openapi", document.get("swagger"))
    if not isinstance(version, str):
        faults.add(("openapi",), "the field openapi must name the version in quotes, such as '3.0.3'")
    elif version.split(".")[:2] not in (["3", "0"], ["3", "1"]):
        hint = "; convert the document first, for example with swagger2openapi" if "swagger" in document else ""
        faults.add(("openapi",), f"OpenAPI {version} is not supported, but 3.0 and 3.1 are{hint}")
