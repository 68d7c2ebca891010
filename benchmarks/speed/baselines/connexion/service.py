"""Connexion as it is, with a Flask application, which checks what comes in and goes out."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import yaml
from connexion import FlaskApp
from connexion.exceptions import OAuthProblem
from verifying import verify

HERE = Path(__file__).parent


def identity(token: str) -> dict[str, str]:
    try:
        return verify(token)
    except jwt.PyJWTError:
        raise OAuthProblem("The access token is not valid.") from None


def ping() -> dict[str, str]:
    return {"status": "running"}


def protected() -> dict[str, str]:
    return {"message": "Your token is good."}


def add_order(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    return body | {"id": str(uuid4())}, 201


def contract() -> dict[str, Any]:
    """The document, with the orders that Charter serves."""
    document, orders = (
        yaml.safe_load(file.read_text()) for file in (HERE / "openapi.yaml", HERE / "../../orders.yaml")
    )
    orders["paths"]["/api/v1/orders"]["post"]["operationId"] = "service.add_order"
    document["paths"] |= orders["paths"]
    document["components"]["schemas"] |= orders["components"]["schemas"]
    return document


app = FlaskApp(__name__)
app.add_api(contract(), strict_validation=True, validate_responses=True)
