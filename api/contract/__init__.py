"""The engine that turns an OpenAPI document into an ASGI application, on Connexion.

A request passes these layers, from the outside in. Most are modules of `middleware`:

    response_validation  If enabled, checks each response against the contract.
    edge                 Rejects ambiguous framing. Gives each request an id and its own scope, and each error the one
                         format. Calls the observers: the request log, metrics and traces.
    preflight            If browsers of other origins may call, responds to their preflight requests by the contract.
    docs                 Serves the documentation page.
    routing              Finds the operation, or raises a 404 or 405.
    body                 Reads the whole body, within limits on bytes and seconds. Bodies with files stay for the
                         validation, which reads them while they arrive.
    security             Authenticates the caller by the schemes of the contract, on Connexion's SecurityMiddleware.
    request_validation   Checks parameters and body against the contract and reports all faults at once.
    rate_limiting        Takes a request from each budget of the operation's rate limits, or raises a 429.
    dispatch             Calls the handler on Flask, in a thread pool, in the bulkhead that the handler names, or on the
                         event loop. Serializes the result by the contract.

The layers share values through `http/scope.py`. Every response is a `Response` of `http/response.py`.
This package contains no feature. All operations come from the document.
"""

from api.contract.assembly import assemble
from api.contract.bodies.files import UploadedFile
from api.contract.checking import Verdict, check_file, ignored_arguments, load, missing_handlers, unknown_formats
from api.contract.dispatch.view import HandlerResources, nonblocking, runs_in
from api.contract.document.faults import ContractError, ContractFault
from api.contract.document.features import with_features
from api.contract.document.model import Contract
from api.contract.document.operation import Operation
from api.contract.document.prefixes import with_prefixes
from api.contract.document.publication import published
from api.contract.document.rate_limits import Policy, limited, with_overrides
from api.contract.http.addresses import address_key
from api.contract.http.client import Client
from api.contract.http.client_addresses import ClientAddresses
from api.contract.http.cors import Cors
from api.contract.http.framing import HEADER_BYTES
from api.contract.http.response import closing, problem_response
from api.contract.http.scope import WHOLE_BODY
from api.contract.http.traceparent import TraceParent
from api.contract.middleware.edge import EdgeMiddleware, Outcome, RequestStart, default_headers
from api.contract.middleware.rate_limiting import RateLimiter
from api.contract.rules import broken_rules
from api.contract.schema.formats import Format, TypedFormat
from api.contract.schema.request_schema import faults_of_properties

__all__ = [
    "HEADER_BYTES",
    "WHOLE_BODY",
    "Client",
    "ClientAddresses",
    "Contract",
    "ContractError",
    "ContractFault",
    "Cors",
    "EdgeMiddleware",
    "Format",
    "HandlerResources",
    "Operation",
    "Outcome",
    "Policy",
    "RateLimiter",
    "RequestStart",
    "TraceParent",
    "TypedFormat",
    "UploadedFile",
    "Verdict",
    "address_key",
    "assemble",
    "broken_rules",
    "check_file",
    "closing",
    "default_headers",
    "faults_of_properties",
    "ignored_arguments",
    "limited",
    "load",
    "missing_handlers",
    "nonblocking",
    "problem_response",
    "published",
    "runs_in",
    "unknown_formats",
    "with_features",
    "with_overrides",
    "with_prefixes",
]
