"""Name every way a call can fail and map it, in one table, to HTTP, gRPC and the OpenAI error shape.

Façades read `WIRE`; nobody writes a status code elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ROUTE_NOT_FOUND = "route_not_found"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    REQUEST_TIMEOUT = "request_timeout"
    HEADERS_TOO_LARGE = "headers_too_large"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTER = "content_filter"
    CAPABILITY_MISSING = "capability_missing"
    INVALID_KEY = "invalid_api_key"
    PERMISSION_DENIED = "permission_denied"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    PRICE_UNKNOWN = "price_unknown"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    """Well said, and in the way of what there is: a name that is taken, a change that came too late."""
    REQUEST_TOO_LARGE = "request_too_large"
    RATE_LIMITED = "rate_limited"
    """Also too many calls at once: what the caller does about it is the same, and `details` name the limit."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_CREDENTIALS = "upstream_credentials"
    UPSTREAM_RATE_LIMITED = "upstream_rate_limited"
    UPSTREAM_QUOTA = "upstream_quota"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_STREAM_INTERRUPTED = "upstream_stream_interrupted"
    CLIENT_CLOSED = "client_closed"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How one fault looks on every wire. `retryable=False` becomes `x-should-retry: false`."""

    http: int
    grpc: str
    type: str
    code: str | None
    retryable: bool = True


_CALLER: Final = "invalid_request_error"
_SERVER: Final = "server_error"

WIRE: Final[Mapping[Fault, Wire]] = {
    Fault.INVALID_REQUEST: Wire(http=400, grpc="INVALID_ARGUMENT", type=_CALLER, code=None),
    Fault.UNSUPPORTED_PARAMETER: Wire(http=400, grpc="INVALID_ARGUMENT", type=_CALLER, code="unsupported_parameter"),
    Fault.METHOD_NOT_ALLOWED: Wire(http=405, grpc="UNIMPLEMENTED", type=_CALLER, code="method_not_allowed"),
    Fault.ROUTE_NOT_FOUND: Wire(http=404, grpc="UNIMPLEMENTED", type=_CALLER, code="unknown_url"),
    Fault.UNSUPPORTED_MEDIA_TYPE: Wire(http=415, grpc="INVALID_ARGUMENT", type=_CALLER, code="unsupported_media_type"),
    Fault.REQUEST_TIMEOUT: Wire(http=408, grpc="DEADLINE_EXCEEDED", type=_CALLER, code="request_timeout"),
    Fault.HEADERS_TOO_LARGE: Wire(http=431, grpc="INVALID_ARGUMENT", type=_CALLER, code="headers_too_large"),
    Fault.CONTEXT_LENGTH_EXCEEDED: Wire(
        http=400, grpc="INVALID_ARGUMENT", type=_CALLER, code="context_length_exceeded"
    ),
    Fault.CAPABILITY_MISSING: Wire(
        http=400, grpc="FAILED_PRECONDITION", type=_CALLER, code="capability_missing", retryable=False
    ),
    Fault.CONTENT_FILTER: Wire(http=400, grpc="FAILED_PRECONDITION", type=_CALLER, code="content_filter"),
    Fault.INVALID_KEY: Wire(http=401, grpc="UNAUTHENTICATED", type="authentication_error", code="invalid_api_key"),
    Fault.PERMISSION_DENIED: Wire(
        http=403, grpc="PERMISSION_DENIED", type="permission_error", code="permission_denied"
    ),
    Fault.MODEL_NOT_ALLOWED: Wire(
        http=403, grpc="PERMISSION_DENIED", type="permission_error", code="model_not_allowed"
    ),
    Fault.PRICE_UNKNOWN: Wire(
        http=403, grpc="FAILED_PRECONDITION", type="permission_error", code="price_unknown", retryable=False
    ),
    Fault.MODEL_NOT_FOUND: Wire(http=404, grpc="NOT_FOUND", type=_CALLER, code="model_not_found"),
    Fault.NOT_FOUND: Wire(http=404, grpc="NOT_FOUND", type=_CALLER, code="not_found"),
    Fault.CONFLICT: Wire(http=409, grpc="ABORTED", type=_CALLER, code="conflict", retryable=False),
    Fault.REQUEST_TOO_LARGE: Wire(http=413, grpc="RESOURCE_EXHAUSTED", type=_CALLER, code="request_too_large"),
    Fault.RATE_LIMITED: Wire(http=429, grpc="RESOURCE_EXHAUSTED", type="rate_limit_error", code="rate_limit_exceeded"),
    Fault.BUDGET_EXHAUSTED: Wire(
        http=429, grpc="RESOURCE_EXHAUSTED", type="insufficient_quota", code="budget_exceeded", retryable=False
    ),
    Fault.OVERLOADED: Wire(http=503, grpc="UNAVAILABLE", type=_SERVER, code="overloaded"),
    Fault.TIMEOUT: Wire(http=504, grpc="DEADLINE_EXCEEDED", type=_SERVER, code="timeout"),
    Fault.UPSTREAM_REJECTED: Wire(http=400, grpc="INVALID_ARGUMENT", type=_CALLER, code=None),
    Fault.UPSTREAM_CREDENTIALS: Wire(http=502, grpc="UNAVAILABLE", type=_SERVER, code="upstream_credentials"),
    Fault.UPSTREAM_RATE_LIMITED: Wire(
        http=429, grpc="RESOURCE_EXHAUSTED", type="rate_limit_error", code="upstream_rate_limited"
    ),
    Fault.UPSTREAM_QUOTA: Wire(http=503, grpc="UNAVAILABLE", type=_SERVER, code="upstream_quota"),
    Fault.UPSTREAM_ERROR: Wire(http=502, grpc="UNAVAILABLE", type=_SERVER, code="upstream_error"),
    Fault.UPSTREAM_STREAM_INTERRUPTED: Wire(
        http=502, grpc="UNAVAILABLE", type=_SERVER, code="upstream_stream_interrupted"
    ),
    Fault.CLIENT_CLOSED: Wire(http=499, grpc="CANCELLED", type=_CALLER, code="client_closed"),
    Fault.INTERNAL: Wire(http=500, grpc="INTERNAL", type=_SERVER, code=None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call was not served. `message` is safe to show to the caller and ends with what to do next."""

    fault: Fault
    message: str
    param: str | None = None
    code: str | None = None
    """Overrides the table's code, for an upstream's own code that we pass on."""
    http: int | None = None
    """Overrides the table's status: for UPSTREAM_REJECTED, which keeps the upstream's, and for BUDGET_EXHAUSTED, which
    the operator may have sent as 402 (`errors.budget_status`)."""
    retry_after_ms: int | None = None
    final: bool = False
    """The router has tried again already: clients that retry by themselves are told not to, whatever the table says."""
    details: Mapping[str, str | int] | None = None

    @property
    def wire(self) -> Wire:
        return WIRE[self.fault]

    @property
    def status(self) -> int:
        return self.http or self.wire.http


class RouterError(Exception):
    """The one exception that crosses the pipeline's border: a refusal that a façade writes as its wire says."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refuse(fault: Fault, message: str, *, param: str | None = None) -> RouterError:
    """Build the error for the common case of a fault, a message and perhaps a parameter."""
    return RouterError(Refusal(fault=fault, message=message, param=param))
