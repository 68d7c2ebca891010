"""What makes the OpenAPI document executable on Connexion: load, route, validate, secure, serve.

A request passes, from the outside in:

    conform    where it is switched on, holds the answer against the contract
    edge       refuses what is ambiguous (framing); gives it an id and a private scope; turns every error into the one
               shape; writes the log line
    docs       answers for the documentation page
    route      finds the operation, or answers 404 or 405
    body       reads the whole body, bounded in bytes and seconds
    secure     asks who is calling                                (Connexion's SecurityMiddleware)
    validate   holds parameters and body against the contract, all faults at once
    serve      calls the handler on Flask, in a thread if it may wait; its view cuts the result to the contract

Nothing in here knows a feature: what the operations are comes from the document alone.
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
