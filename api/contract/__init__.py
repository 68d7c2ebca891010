"""The engine that turns an OpenAPI document into an ASGI application, on Connexion.

A request passes these layers, from the outside in:

    conform    If enabled, checks each response against the contract.
    edge       Rejects ambiguous framing. Gives each request an id and its own scope, each error the one format,
               and each request a log line.
    docs       Serves the documentation page.
    route      Finds the operation, or raises a 404 or 405.
    body       Reads the whole body, within limits on bytes and seconds.
    secure     Authenticates the caller, on Connexion's SecurityMiddleware.
    validate   Checks parameters and body against the contract and reports all faults at once.
    serve      Calls the handler on Flask, in a thread pool if it may block, and serializes the result by the contract.

This package contains no feature. All operations come from the document.
"""

from api.contract.client import Client
from api.contract.document import Contract, ContractError, success
from api.contract.edge import Outcome
from api.contract.load import load
from api.contract.stack import assemble
from api.contract.traceparent import Parent
from api.contract.view import Lane, Serving, nonblocking

__all__ = [
    "Client",
    "Contract",
    "ContractError",
    "Lane",
    "Outcome",
    "Parent",
    "Serving",
    "assemble",
    "load",
    "nonblocking",
    "success",
]
