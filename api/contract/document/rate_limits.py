"""The rate limits of operations: the extension `x-rate-limit`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import NamedTuple

from api.contract.document.faults import ContractError
from api.contract.document.model import Contract
from api.contract.document.operation import Json, Operation, resolve

_FIELD = "x-rate-limit"
_NAME = re.compile("[a-z]+(-[a-z]+)*")
_QUOTAS, _WINDOWS = range(1, 10_001), range(1, 86_401)
_COUNTED = {"success": "failed", "failure": "successful"}
"""The values of `refund`, and the requests that count all the same."""
_FIELDS = {"name", "by", "quota", "window", "refund", "apart"}
_NONE = "This server has switched its rate limits off."
_REQUIRED = {"name", "by", "quota", "window"}
_PLACE = "place"


class Policy(NamedTuple):
    """A rate limit: `quota` requests in `window` seconds for each value of `by`.

    `by` is `address`, `identity` or `body.<property>`. `refund` are the requests that do not count. Known clients have
    budgets of their own, `apart` from those of strangers. They are known by a text of the body, or by their `place`.
    """

    name: str
    by: str
    quota: int
    window: int
    refund: str = ""
    apart: tuple[str, ...] = ()

    @property
    def proof(self) -> str | None:
        """The property of the body that may prove who sends the request, or None."""
        return next((name for name in self.apart if name != _PLACE), None)

    @property
    def knows_places(self) -> bool:
        """True if requests from a known place of the user have a budget of their own."""
        return _PLACE in self.apart

    @property
    def member(self) -> str | None:
        """The property of the body whose values have budgets, or None."""
        return self.by.removeprefix("body.") if self.by.startswith("body.") else None

    @property
    def is_public(self) -> bool:
        """True if the client may see the state of its budget. Others can spend the budget of a name."""
        return self.member is None


def policies_of(operation: Operation) -> list[Policy]:
    """Return the policies of an operation. A text in their place is the reason why the operation has none."""
    listed = operation.definition.get(_FIELD, [])
    return [] if isinstance(listed, str) else [_policy(entry) for entry in listed]


def _policy(entry: Json) -> Policy:
    return Policy(**entry | {"apart": tuple(entry.get("apart", ()))})


def check_rate_limit(operation: Operation) -> None:
    """Raise ContractError if `x-rate-limit` of an operation is not valid."""
    listed = operation.definition.get(_FIELD, "none")
    if isinstance(listed, str) and listed:
        return
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, dict) for entry in listed):
        raise ContractError("x-rate-limit must be a list of policies, or the reason why the operation needs none")
    for entry in listed:
        _check_policy(entry, operation)
    names = [entry["name"] for entry in listed]
    if len(names) > len(set(names)):
        raise ContractError("x-rate-limit: each policy needs a name of its own")


def _check_policy(entry: Json, operation: Operation) -> None:
    if not _REQUIRED <= entry.keys() <= _FIELDS:
        raise ContractError("x-rate-limit: a policy has name, by, quota and window, and optionally refund and apart")
    if not _NAME.fullmatch(str(entry["name"])):
        raise ContractError("x-rate-limit: name must consist of small letters, such as account or account-hour")
    for field, allowed in (("quota", _QUOTAS), ("window", _WINDOWS)):
        if type(entry[field]) is not int or entry[field] not in allowed:
            raise ContractError(f"x-rate-limit: {field} must be an integer from 1 to {allowed[-1]}")
    if str(entry.get("refund", "success")) not in _COUNTED:
        raise ContractError("x-rate-limit: refund must be success or failure")
    if entry["by"] == "identity" and not (operation.security and all(operation.security)):
        raise ContractError("x-rate-limit: by identity requires a token, but security does not")
    if entry["by"] not in {"address", "identity"}:
        kind, _, name = str(entry["by"]).partition(".")
        if kind != "body" or name not in _properties(operation):
            raise ContractError("x-rate-limit: by must be address, identity, or body. and a property of the body")
    if "apart" in entry:
        _check_apart(entry["apart"], str(entry["by"]), operation)


def _check_apart(apart: object, by: str, operation: Operation) -> None:
    listed = [str(name) for name in apart] if isinstance(apart, list) else []
    proofs = [name for name in listed if name != _PLACE]
    if not listed or len(listed) > len(set(listed)) or len(proofs) > 1 or not {*proofs} <= _properties(operation):
        raise ContractError("x-rate-limit: apart must be a list of place, and of at most one property of the body")
    if _PLACE in listed and not by.startswith("body."):
        raise ContractError("x-rate-limit: apart has a place, so by must be body. and a property of the body")


def _properties(operation: Operation) -> set[str]:
    """Return the names of the properties of a JSON body that are texts."""
    content = (operation.body or {}).get("content", {}).get("application/json", {})
    schema = resolve(content.get("schema", {}), operation.document)
    parts = {name: resolve(part, operation.document) for name, part in schema.get("properties", {}).items()}
    return {name for name, part in parts.items() if part.get("type") == "string"}


def with_overrides(contract: Contract, overrides: Mapping[str, tuple[int, int] | None] | None) -> Contract:
    """Return the contract with other quotas and windows of its policies, or without policies.

    The keys are the operationId and the name of the policy, such as `logIn.address`. None removes all policies. Raises
    ContractError if a policy is unknown.
    """
    known = {f"{operation.id}.{policy.name}" for operation, policies in limited(contract) for policy in policies}
    changes = dict.fromkeys(known) if overrides is None else overrides
    for name in changes.keys() - known:
        nearest = get_close_matches(name, known, 1, 0)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise ContractError(f"no operation has the rate limit {name}{hint}")
    paths = dict(contract.document["paths"])
    for operation, _ in limited(contract):
        kept = list(_changed(operation, changes))
        paths[operation.path] = {
            **paths[operation.path],
            operation.method: operation.definition | {_FIELD: kept or _NONE},
        }
    return replace(contract, document=contract.document | {"paths": paths})


def _changed(operation: Operation, changes: Mapping[str, tuple[int, int] | None]) -> Iterator[Json]:
    for entry in operation.definition[_FIELD]:
        change = changes.get(f"{operation.id}.{entry['name']}", (entry["quota"], entry["window"]))
        if change is not None:
            yield entry | {"quota": change[0], "window": change[1]}


def described(policy: Policy) -> str:
    """Return a policy in words, for the documentation page."""
    counted = f"{_COUNTED[policy.refund]} request" if policy.refund else "request"
    plural = "" if policy.quota == 1 else "s"
    subject = {"address": "address", "identity": "user"}.get(policy.by, f"`{policy.member}`")
    known = [f"valid `{policy.proof}`"] if policy.proof else []
    known += ["known place of the user"] if policy.knows_places else []
    apart = f", and as many for each {' and each '.join(known)}" if known else ""
    return f"`{policy.name}`: {policy.quota} {counted}{plural} per {period(policy.window)} for each {subject}{apart}"


def period(seconds: int) -> str:
    """Return a period in words that follow `per` or `the last`."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, length = next((unit, length) for unit, length in units if seconds % length == 0)
    return unit if seconds == length else f"{seconds // length} {unit}s"


def limited(contract: Contract) -> list[tuple[Operation, list[Policy]]]:
    """Return the operations that have rate limits, with their policies."""
    pairs = [(operation, policies_of(operation)) for operation in contract.operations()]
    return [(operation, policies) for operation, policies in pairs if policies]
