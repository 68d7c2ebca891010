"""Flask as it is, with pydantic for what comes in and goes out."""

from collections.abc import Callable
from functools import wraps
from uuid import uuid4

import jwt
from flask import Flask, Response, jsonify, request
from models import Liveness, NewOrder, Order, TokenCheck
from pydantic import BaseModel, ValidationError
from verifying import verify

app = Flask(__name__)


def logged_in(view: Callable[[], Response]) -> Callable[[], Response | tuple[Response, int]]:
    @wraps(view)
    def checked() -> Response | tuple[Response, int]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            if scheme == "Bearer" and verify(token):
                return view()
        except jwt.PyJWTError:
            pass
        return jsonify(detail="Unauthorized"), 401

    return checked


def answer(model: BaseModel, status: int = 200) -> Response:
    return Response(model.model_dump_json(), status, mimetype="application/json")


@app.get("/ping")
def ping() -> Response:
    return answer(Liveness(status="running"))


@app.get("/protected")
@logged_in
def protected() -> Response:
    return answer(TokenCheck(message="Your token is good."))


@app.post("/api/v1/orders")
def add_order() -> Response | tuple[Response, int]:
    try:
        order = NewOrder.model_validate_json(request.get_data())
    except ValidationError as error:
        return jsonify(detail=error.errors(include_context=False)), 422
    return answer(Order(**order.model_dump(), id=uuid4()), 201)
