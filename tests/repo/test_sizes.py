"""Files, functions and the names of tests are short."""

import ast
from functools import cache

from tests.support.paths import CHECKOUT

MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION, LONGEST_NAME = 400, 40, 70


@cache
def sources() -> dict[str, str]:
    """Return the text of each module by its path. Migrations are left out, because they never change."""
    return {
        file.relative_to(CHECKOUT).as_posix(): file.read_text()
        for folder in ("api", "benchmarks", "tests", "tools")
        for file in (CHECKOUT / folder).rglob("*.py")
        if "node_modules" not in file.parts
    }


@cache
def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Return each function with the path of its module."""
    return [
        (path, node)
        for path, source in sources().items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_files_have_at_most_400_lines() -> None:
    lengths = {path: len(source.splitlines()) for path, source in sources().items()}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES_OF_A_FILE} == {}


def test_functions_have_at_most_40_lines() -> None:
    lengths = {f"{path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for path, node in functions()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_names_of_tests_have_at_most_70_characters() -> None:
    names = {f"{path}:{node.name}": len(node.name) for path, node in functions() if node.name.startswith("test_")}
    assert {name: length for name, length in names.items() if length > LONGEST_NAME} == {}
