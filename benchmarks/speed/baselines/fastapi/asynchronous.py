"""All functions are `async def`."""

from typing import Annotated
from uuid import uuid4

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from models import Liveness, NewOrder, Order, TokenCheck
from verifying import verify

app = FastAPI()
bearer = HTTPBearer()


async def identity(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> dict[str, str]:
    try:
        return verify(credentials.credentials)
    except jwt.PyJWTError:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None


@app.get("/ping")
async def ping() -> Liveness:
    return Liveness(status="running")


@app.get("/protected")
async def protected(identity: Annotated[dict[str, str], Depends(identity)]) -> TokenCheck:
    return TokenCheck(message="Your token is good.")


@app.post("/api/v1/orders", status_code=201)
async def add_order(order: NewOrder) -> Order:
    return Order(**order.model_dump(), id=uuid4())
