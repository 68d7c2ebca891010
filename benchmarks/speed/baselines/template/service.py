"""The user is looked up at each request, as in the full-stack-fastapi-template: api/deps.py and api/routes/users.py."""

import os
from collections.abc import Generator
from datetime import datetime
from typing import Annotated
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, EmailStr, ValidationError
from sqlmodel import Field, Session, SQLModel, create_engine
from verifying import verify


class UserBase(SQLModel):
    username: str = Field(unique=True, index=True, max_length=30)
    email: EmailStr = Field(unique=True, index=True, max_length=255)
    email_verified: bool = False
    pending_email: EmailStr | None = Field(default=None, max_length=255)
    display_name: str | None = Field(default=None, max_length=80)
    locale: str | None = Field(default=None, max_length=16)
    role: str = Field(default="user", max_length=32)


class User(UserBase, table=True):
    id: UUID = Field(primary_key=True)
    hashed_password: str
    is_active: bool = True
    is_superuser: bool = False
    created_at: datetime


class UserPublic(UserBase):
    id: UUID
    created_at: datetime


class TokenPayload(BaseModel):
    sub: UUID


app = FastAPI()
engine = create_engine(os.environ["DATABASE"])
oauth2 = OAuth2PasswordBearer(tokenUrl="/login")
SQLModel.metadata.create_all(engine)
with Session(engine) as first:
    # A second start finds the user there.
    first.merge(User(**UserPublic.model_validate_json(os.environ["USER"]).model_dump(), hashed_password=""))
    first.commit()


def get_db() -> Generator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_db)]
TokenDep = Annotated[str, Depends(oauth2)]


def get_current_user(session: SessionDep, token: TokenDep) -> User:
    try:
        payload = TokenPayload(**verify(token))
    except (jwt.InvalidTokenError, ValidationError):
        raise HTTPException(403, "Could not validate credentials") from None
    user = session.get(User, payload.sub)
    if not user:
        raise HTTPException(404, "User not found")
    if not user.is_active:
        raise HTTPException(400, "Inactive user")
    return user


@app.get("/ping")
def ping() -> dict[str, str]:
    return {"status": "running"}


@app.get("/api/v1/me", response_model=UserPublic)
def read_user_me(current_user: Annotated[User, Depends(get_current_user)]) -> User:
    return current_user
