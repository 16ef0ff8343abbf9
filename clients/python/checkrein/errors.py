"""What a call fails with: an exception for whatever a caller may do about it, with the router's reason in it."""

import re
from collections.abc import Iterable
from typing import Final, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

DOMAIN: Final = "checkrein"
DETAILS_KEY: Final = "grpc-status-details-bin"


BY_REASON: Final[dict[str, type["CheckreinError"]]] = {}
"""Every other reason is a `CheckreinError` itself: nobody can do anything about it, or it is a newer router's."""


class CheckreinError(Exception):
    """A call failed.

    `reason` is the router's, empty if gRPC itself failed the call; `details` are all metadata of its `ErrorInfo`, and
    `retry_after` is in seconds, if waiting helps and it is known for how long.
    """

    def __init_subclass__(cls, *, reasons: tuple[str, ...] = ()) -> None:
        BY_REASON.update(dict.fromkeys(reasons, cls))

    def __init__(
        self,
        message: str,
        *,
        status: grpc.StatusCode = grpc.StatusCode.UNKNOWN,
        reason: str = "",
        details: dict[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.reason = reason
        self.details = details or {}
        self.retry_after = retry_after

    @property
    def http_status(self) -> int | None:
        """The status that HTTP would have had; none if gRPC itself failed the call."""
        text = self.details.get("http_status", "")
        return int(text) if re.fullmatch("[1-5][0-9]{2}", text) else None

    @property
    def call_id(self) -> str | None:
        return self.details.get("call_id")

    @property
    def request_id(self) -> str | None:
        return self.details.get("request_id")

    def __str__(self) -> str:
        named = f" ({self.call_id})" if self.call_id else ""
        return f"{self.reason or self.status.name}: {self.message}{named}"


class InvalidRequest(
    CheckreinError,
    reasons=(
        "INVALID_REQUEST",
        "UNSUPPORTED_PARAMETER",
        "UNSUPPORTED_MEDIA_TYPE",
        "HEADERS_TOO_LARGE",
        "REQUEST_TOO_LARGE",
        "CAPABILITY_MISSING",
        "UPSTREAM_REJECTED",
    ),
):
    """The request is at fault; `details["param"]` may say where."""


class ContextLengthExceeded(InvalidRequest, reasons=("CONTEXT_LENGTH_EXCEEDED",)):
    """The prompt is longer than the model reads."""


class ContentFilter(CheckreinError, reasons=("CONTENT_FILTER",)):
    """The provider refused the content."""


class InvalidApiKey(CheckreinError, reasons=("INVALID_API_KEY",)):
    """The key is missing, unknown, expired or revoked."""


class PermissionDenied(
    CheckreinError,
    reasons=(
        "PERMISSION_DENIED",
        "PRICE_UNKNOWN",
    ),
):
    """The key may not do this."""


class ModelNotAllowed(PermissionDenied, reasons=("MODEL_NOT_ALLOWED",)):
    """The key may not use the model."""


class NotFound(CheckreinError, reasons=("NOT_FOUND",)):
    """There is no such thing, or not for this key."""


class ModelNotFound(NotFound, reasons=("MODEL_NOT_FOUND",)):
    """There is no such model."""


class RateLimited(CheckreinError, reasons=("RATE_LIMITED",)):
    """A limit is used up; `retry_after` says when to come back."""


class BudgetExhausted(CheckreinError, reasons=("BUDGET_EXHAUSTED",)):
    """A budget does not cover the call; `details` say which."""


class Overloaded(CheckreinError, reasons=("OVERLOADED",)):
    """The router has no room, or is stopping."""


class Timeout(
    CheckreinError,
    reasons=(
        "TIMEOUT",
        "REQUEST_TIMEOUT",
    ),
):
    """The deadline has passed, the caller's or the router's."""


class UpstreamError(
    CheckreinError,
    reasons=(
        "UPSTREAM_ERROR",
        "UPSTREAM_CREDENTIALS",
        "UPSTREAM_QUOTA",
    ),
):
    """The provider failed, and so did whoever was asked in its place."""


class UpstreamRateLimited(UpstreamError, reasons=("UPSTREAM_RATE_LIMITED",)):
    """The provider's limit is used up."""


class StreamInterrupted(UpstreamError, reasons=("UPSTREAM_STREAM_INTERRUPTED",)):
    """The provider broke off after it had begun."""


class Unreachable(CheckreinError):
    """The router was not reached, or the connection to it broke."""


BY_STATUS: Final = {grpc.StatusCode.DEADLINE_EXCEEDED: Timeout, grpc.StatusCode.UNAVAILABLE: Unreachable}
"""What gRPC itself fails calls with."""


def failure_of(error: grpc.RpcError) -> CheckreinError:
    """Read what the router said; without that, what gRPC says."""
    status, text = error.code(), error.details() or ""
    info, retry = ErrorInfo(), RetryInfo()
    for part in _details(error).details:
        # Each takes only what is its kind; a proxy may add an ErrorInfo of its own.
        if info.domain != DOMAIN:
            part.Unpack(info)
        part.Unpack(retry)
    if info.domain != DOMAIN:
        return BY_STATUS.get(status, CheckreinError)(text, status=status)
    return BY_REASON.get(info.reason, CheckreinError)(
        text,
        status=status,
        reason=info.reason,
        details=dict(info.metadata),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def _details(error: grpc.RpcError) -> Status:
    # Pairs in both of gRPC's Python APIs, whatever its types say.
    for key, value in cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ()):
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                break
    return Status()


def closed(what: str) -> CheckreinError:
    """Say to a reader that somebody else closed what it reads."""
    return CheckreinError(f"The {what} was closed meanwhile.", status=grpc.StatusCode.CANCELLED)
