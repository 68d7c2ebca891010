"""Find the handlers of a contract."""

from collections.abc import Callable
from importlib import import_module
from traceback import extract_tb
from typing import Any

from inflection import underscore

from api.contract.document.faults import ContractError


def _unimportable(file: str, error: ImportError) -> ContractError:
    """Return the error for a handler whose import fails, with the line that fails."""
    # The last frame outside of Python's import system, whose names are like <frozen importlib._bootstrap>.
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}"
    return ContractError(f"{file} cannot be imported: {error}; see {place}")


def find_handler(address: str) -> Callable[..., Any]:
    """Return the handler at an address: `api.handlers.auth.signUp` is `sign_up` in `api/handlers/auth.py`.

    Raises ContractError if the module or the function is not found.
    """
    module, _, operation_id = address.rpartition(".")
    name, file = underscore(operation_id), f"{module.replace('.', '/')}.py"
    try:
        function = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise _unimportable(file, error) from None
        raise ContractError(f"{file} not found") from None
    except ImportError as error:
        raise _unimportable(file, error) from None
    if not callable(function):
        raise ContractError(f"{file} has no function {name}")
    return function  # type: ignore[no-any-return]
