"""Find the handlers of a contract."""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from traceback import extract_tb
from types import ModuleType
from typing import Any

from inflection import underscore

from api.contract.document.faults import ContractError


class HandlersUnusable(ContractError):
    """A module of handlers is missing or cannot be imported, so it has no handler for any operation."""


def module_of(address: str) -> str:
    """Return the name of the module of an address."""
    return address.rpartition(".")[0]


def find_handler(address: str) -> Callable[..., Any]:
    """Return the handler at an address: `api.handlers.auth.signUp` is `sign_up` in `api/handlers/auth.py`.

    Raises HandlersUnusable if the module is not found or cannot be imported. Raises ContractError if it lacks the
    function.
    """
    module = module_of(address)
    name, file = underscore(address.removeprefix(f"{module}.")), f"{module.replace('.', '/')}.py"
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise _unimportable(file, error) from None
        raise HandlersUnusable(f"{file} not found") from None
    except Exception as error:
        raise _unimportable(file, error) from None
    function = getattr(found, name, None)
    if not callable(function):
        nearest = get_close_matches(name, _functions(found), 1, 0.8)
        raise ContractError(f"{file} has no function {name}" + "".join(f"; did you mean {near}?" for near in nearest))
    return function  # type: ignore[no-any-return]


def _functions(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]


def _unimportable(file: str, error: Exception) -> HandlersUnusable:
    """Return the error for a module whose import fails, with the line that fails."""
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
        return HandlersUnusable(f"{file} cannot be imported: {type(error).__name__}: {error.msg}; see {place}")
    # The last frame outside of Python's import system, whose names are like <frozen importlib._bootstrap>.
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}"
    kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
    return HandlersUnusable(f"{file} cannot be imported: {kind}{error}; see {place}")
