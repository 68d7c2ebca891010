"""Accounts as a careful FastAPI developer writes them: SQLModel, `def` functions, one `Session` for each request.

Sign-up, log-in, refresh with rotation and reuse detection, and the list of sessions. Names and bodies are those of
Charter.
"""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import bcrypt
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, EmailStr, StringConstraints
from sqlalchemy import DateTime, Engine, event, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, create_engine, or_, select

ISSUER, AUDIENCE, SCOPE = "http://127.0.0.1:8000", "charter", "profile sessions"
ACCESS = timedelta(hours=1)
IDLE = timedelta(days=30)
ABSOLUTE = timedelta(days=90)


def now() -> datetime:
    return datetime.now(UTC)


def utc(time: datetime) -> datetime:
    """Return the time in UTC. SQLite returns times without a zone."""
    return time.replace(tzinfo=time.tzinfo or UTC)


class User(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    username: str = Field(max_length=80)
    username_key: str = Field(max_length=80, unique=True, index=True)
    email: str = Field(max_length=254)
    email_key: str = Field(max_length=254, unique=True, index=True)
    hashed_password: str
    is_active: bool = True
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class UserSession(SQLModel, table=True):
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(foreign_key="user.id", ondelete="CASCADE", index=True)
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    last_used_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True), index=True)
    ip_address: str = Field(max_length=45)
    user_agent: str = Field(max_length=255)


class RefreshToken(SQLModel, table=True):
    digest: bytes = Field(primary_key=True)
    session_id: UUID = Field(foreign_key="usersession.id", ondelete="CASCADE", index=True)
    used_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


Username = Annotated[str, StringConstraints(min_length=5, max_length=80, pattern=r"^[\w.@+-]+$")]
Password = Annotated[str, StringConstraints(min_length=8, max_length=128)]


class NewUser(Strict):
    username: Username
    email: EmailStr
    password: Password


class Credentials(Strict):
    username: Annotated[str, StringConstraints(min_length=1, max_length=254)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Refresh(Strict):
    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=512)]


class UserPublic(BaseModel):
    id: UUID
    username: str
    email: EmailStr
    created_at: datetime


class TokenPair(BaseModel):
    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str = SCOPE
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme


class SessionPublic(BaseModel):
    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ip_address: str
    user_agent: str
    current: bool


class SessionPage(BaseModel):
    items: list[SessionPublic]
    next_cursor: UUID | None


def connected() -> Engine:
    # Each request of the load may hold a connection.
    engine = create_engine(os.environ["DATABASE"], pool_size=20)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", prepare)
    return engine


def prepare(connection: sqlite3.Connection, _: object) -> None:
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "busy_timeout = 30000"):
        connection.execute(f"PRAGMA {pragma}")


app = FastAPI()
engine = connected()
key = ec.generate_private_key(ec.SECP256R1())
public_key = key.public_key()
oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")
SQLModel.metadata.create_all(engine)


def get_db() -> Generator[Session]:
    with Session(engine) as db:
        yield db


Db = Annotated[Session, Depends(get_db)]
Token = Annotated[str, Depends(oauth2)]


def get_current_session(db: Db, token: Token) -> UserSession:
    try:
        claims = jwt.decode(token, public_key, algorithms=["ES256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Invalid token") from None
    session = find_live(db, UUID(claims["sid"]))
    if session is None:
        raise HTTPException(401, "Invalid token")
    return session


def find_live(db: Session, session_id: UUID) -> UserSession | None:
    """Return the session unless it has ended, or its user is not active."""
    query = select(UserSession).join(User).where(UserSession.id == session_id, UserSession.expires_at > now())
    return db.exec(query.where(User.is_active)).first()


CurrentSession = Annotated[UserSession, Depends(get_current_session)]


@app.get("/ping")
def ping() -> dict[str, str]:
    return {"status": "running"}


@app.post("/api/v1/auth/signup", status_code=201, response_model=UserPublic)
def sign_up(db: Db, body: NewUser, response: Response) -> User:
    user = User(
        username=body.username,
        username_key=body.username.lower(),
        email=body.email,
        email_key=body.email.lower(),
        hashed_password=bcrypt.hashpw(body.password.encode(), bcrypt.gensalt()).decode(),
    )
    db.add(user)
    try:
        db.commit()
    except IntegrityError:
        raise HTTPException(409, "The username or the email is already in use") from None
    db.refresh(user)
    response.headers["Location"] = "/api/v1/me"
    return user


@app.post("/api/v1/auth/login")
def log_in(db: Db, body: Credentials, request: Request) -> TokenPair:
    name = body.username.lower()
    user = db.exec(select(User).where(or_(User.username_key == name, User.email_key == name))).first()
    if user is None or not user.is_active or not is_right(body.password, user):
        raise HTTPException(401, "Incorrect username or password")
    session = UserSession(user_id=user.id, expires_at=now() + IDLE, **client(request))
    db.add(session)
    # The foreign key of the token needs the row.
    db.flush()
    return issue(db, session)


def is_right(password: str, user: User) -> bool:
    return bcrypt.checkpw(password.encode(), user.hashed_password.encode())


def client(request: Request) -> dict[str, Any]:
    return {
        "ip_address": request.client.host if request.client else "",
        "user_agent": request.headers.get("User-Agent", "")[:255],
    }


@app.post("/api/v1/auth/refresh")
def refresh(db: Db, body: Refresh, request: Request) -> TokenPair:
    stored = db.get(RefreshToken, digest(body.refresh_token))
    session = stored and find_live(db, stored.session_id)
    if stored is None or session is None:
        raise HTTPException(401, "Invalid refresh token")
    # Of two requests with one token, the database lets one pass.
    unused = update(RefreshToken).where(RefreshToken.digest == stored.digest, RefreshToken.used_at.is_(None))
    if db.exec(unused.values(used_at=now())).rowcount == 0:
        db.delete(session)
        db.commit()
        raise HTTPException(401, "The refresh token was used before")
    session.sqlmodel_update(client(request))
    session.last_used_at = now()
    session.expires_at = min(now() + IDLE, utc(session.created_at) + ABSOLUTE)
    return issue(db, session)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def issue(db: Session, session: UserSession) -> TokenPair:
    token = secrets.token_urlsafe(32)
    db.add(RefreshToken(digest=digest(token), session_id=session.id))
    pair = TokenPair(
        access_token=access_token(session),
        expires_in=int(ACCESS.total_seconds()),
        refresh_token=token,
        refresh_expires_in=int((utc(session.expires_at) - now()).total_seconds()),
    )
    db.commit()
    return pair


def access_token(session: UserSession) -> str:
    issued = now()
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(session.user_id),
        "sid": str(session.id),
        "scope": SCOPE,
        "iat": issued,
        "exp": min(issued + ACCESS, utc(session.expires_at)),
        "jti": str(uuid4()),
    }
    return jwt.encode(claims, key, algorithm="ES256")


@app.get("/api/v1/sessions")
def list_sessions(db: Db, current: CurrentSession, limit: int = 20, cursor: UUID | None = None) -> SessionPage:
    query = select(UserSession).where(UserSession.user_id == current.user_id, UserSession.expires_at > now())
    if cursor is not None:
        query = query.where(UserSession.id < cursor)
    rows = db.exec(query.order_by(UserSession.id.desc()).limit(limit + 1)).all()
    items = [SessionPublic(**row.model_dump(), current=row.id == current.id) for row in rows[:limit]]
    return SessionPage(items=items, next_cursor=items[-1].id if len(rows) > limit else None)
