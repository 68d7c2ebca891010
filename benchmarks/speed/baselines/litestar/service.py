"""All functions are `async def`. The schemas of system.yaml and orders.yaml are structs of msgspec."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID, uuid4

import jwt
from litestar import Litestar, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware
from msgspec import Meta, Struct, structs
from verifying import verify


class Currency(StrEnum):
    EUR = "EUR"
    GBP = "GBP"
    USD = "USD"


class Item(Struct, forbid_unknown_fields=True):
    sku: Annotated[str, Meta(max_length=12, pattern="^[A-Z0-9-]*$")]
    quantity: Annotated[int, Meta(ge=1, le=100)]
    cents: Annotated[int, Meta(ge=0, le=1_000_000)]


class NewOrder(Struct, forbid_unknown_fields=True):
    customer: Annotated[str, Meta(min_length=1, max_length=80, pattern="^[A-Za-z .-]*$")]
    reference: Annotated[str, Meta(max_length=9, pattern="^[A-Z]{2}-[0-9]{6}$")]
    currency: Currency
    priority: Annotated[int, Meta(ge=1, le=5)]
    gift: bool
    note: Annotated[str, Meta(max_length=200, pattern=r"^[^\x00]*$")]
    items: Annotated[list[Item], Meta(min_length=1, max_length=20)]


class Order(NewOrder, kw_only=True):
    id: UUID


class Liveness(Struct):
    status: str


class TokenCheck(Struct):
    message: str


class Bearer(AbstractAuthenticationMiddleware):
    async def authenticate_request(self, connection: ASGIConnection) -> AuthenticationResult:
        scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
        try:
            claims = verify(token)
        except jwt.PyJWTError:
            raise NotAuthorizedException(headers={"WWW-Authenticate": "Bearer"}) from None
        if scheme.lower() != "bearer":
            raise NotAuthorizedException(headers={"WWW-Authenticate": "Bearer"})
        return AuthenticationResult(user=claims["sub"], auth=claims)


@get("/ping")
async def ping() -> Liveness:
    return Liveness(status="running")


@get("/protected", middleware=[DefineMiddleware(Bearer)])
async def protected() -> TokenCheck:
    return TokenCheck(message="Your token is good.")


@post("/api/v1/orders")
async def add_order(data: NewOrder) -> Order:
    return Order(**structs.asdict(data), id=uuid4())


app = Litestar([ping, protected, add_order])
