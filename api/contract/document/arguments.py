"""The Python names under which a handler gets the parameters of its operation."""

import re
from collections import defaultdict
from keyword import iskeyword

from inflection import underscore

from api.contract.document.model import ContractError
from api.contract.document.operation import Json, Operation

Place = tuple[str, str]
"""The `in` and the `name` of a parameter, which identify it."""

# The arguments that a handler can get for any operation.
_RESERVED = {"body", "client", "db", "identity"}
# OpenAPI 3.0.3, Parameter Object, `name`: the definitions of these headers are ignored.
_IGNORED = {"accept", "authorization", "content-type"}

# APIs have `Price<` and `Price>` beside `Price`, so these signs count. The words are the names of HTML.
_SIGNS = {"<": "_lt", ">": "_gt"}


def is_ignored(parameter: Json) -> bool:
    """Return True if the parameter is a header that OpenAPI describes in other places."""
    return parameter["in"] == "header" and parameter["name"].lower() in _IGNORED


def argument_names(operation: Operation) -> dict[Place, str]:
    """Return the names of an operation's parameters in Python: `X-Request-ID` is `x_request_id`.

    `Price<` is `price_lt`, and `Price>` is `price_gt`.
    If parameters in two places have the same name, or if it is reserved, the place comes first: `path_id`, `query_id`.
    Raises ContractError if two parameters still have the same Python name.
    """
    places = [(parameter["in"], parameter["name"]) for parameter in operation.parameters if not is_ignored(parameter)]
    users = defaultdict(set)
    for where, name in places:
        users[_python_name(name)].add(where)
    names: dict[Place, str] = {}
    owners: dict[str, str] = {}
    for where, name in places:
        plain = _python_name(name)
        unclear = plain in _RESERVED or len(users[plain]) > 1 or not plain.isidentifier() or iskeyword(plain)
        argument = f"{where}_{plain}" if unclear else plain
        if argument in owners:
            raise ContractError(f"the parameters {owners[argument]!r} and {name!r} have the same name in Python")
        owners[argument] = name
        names[where, name] = argument
    return names


def _python_name(name: str) -> str:
    if name.isidentifier():
        return underscore(name)
    for sign, word in _SIGNS.items():
        name = name.replace(sign, word)
    return re.sub(r"\W+", "_", underscore(name)).strip("_")
