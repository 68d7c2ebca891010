"""The schemas of system.yaml and orders.yaml as pydantic models."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Currency(StrEnum):
    EUR = "EUR"
    GBP = "GBP"
    USD = "USD"


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(max_length=12, pattern="^[A-Z0-9-]*$")]
    quantity: Annotated[int, Field(ge=1, le=100)]
    cents: Annotated[int, Field(ge=0, le=1_000_000)]


class NewOrder(BaseModel):
    model_config = ConfigDict(extra="forbid")

    customer: Annotated[str, Field(min_length=1, max_length=80, pattern="^[A-Za-z .-]*$")]
    reference: Annotated[str, Field(max_length=9, pattern="^[A-Z]{2}-[0-9]{6}$")]
    currency: Currency
    priority: Annotated[int, Field(ge=1, le=5)]
    gift: bool
    note: Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
    items: Annotated[list[Item], Field(min_length=1, max_length=20)]


class Order(NewOrder):
    id: UUID


class Liveness(BaseModel):
    status: str


class TokenCheck(BaseModel):
    message: str
