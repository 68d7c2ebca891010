"""Share the compiled rules of Werkzeug and the names of handlers among the applications of a worker process."""

from collections.abc import Callable
from functools import cache
from types import MethodType
from typing import Any

import pytest
from inflection import underscore
from werkzeug.routing import Rule


def share_routes(patch: pytest.MonkeyPatch) -> None:
    """Compile each rule and convert each name once, until `patch` is undone."""
    patch.setattr(Rule, "compile", _compiled_once(Rule.compile))
    patch.setattr("api.contract.dispatch.lookup.underscore", cache(underscore))


def _compiled_once(compile_rule: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let rules with the same text and converters share what compiling them yields."""
    compiled: dict[object, Any] = {}

    def result(rule: Any) -> None:
        if rule.defaults or rule.map.host_matching:
            compile_rule(rule)
            return
        converters = frozenset(rule.map.converters.items())
        key = type(rule), rule.rule, rule.subdomain, rule.merge_slashes, converters
        if key not in compiled:
            compile_rule(rule)
            compiled[key] = rule
            return
        known = compiled[key]
        rule._parts, rule._trace, rule._converters = known._parts, known._trace, known._converters
        rule.arguments |= known.arguments
        rule._build = MethodType(known._build.__func__, rule)
        rule._build_unknown = MethodType(known._build_unknown.__func__, rule)

    return result
