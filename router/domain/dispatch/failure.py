"""Everything that the router knows about provider errors: what a status and a code mean, and what to tell the caller.

Adapters say what they saw as a `Failure`; nobody else reads provider text. Status alone misleads: a 429 may be a
rate limit or an empty purse, a 400 may be a prompt that is too long, so the provider's code is read first.
"""

from enum import StrEnum
from typing import Final

import msgspec

from router.domain.faults import Fault, Refusal

MESSAGE_CHARS_MAX: Final = 1_000


class FailureKind(StrEnum):
    """What went wrong between us and the provider."""

    CONNECT = "connect"
    """Refused, unknown host, TLS, or lost before anything was sent."""
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "reset"
    """The connection broke after the request was sent and before a reply came."""
    STATUS = "status"
    """The provider answered with an error status."""
    ERROR_EVENT = "error_event"
    """The provider said 200 and then an error."""
    EMPTY = "empty"
    """The provider said 200 and then nothing."""
    MALFORMED = "malformed"
    CUT = "cut"
    """The reply ended before it was complete."""
    FIRST_EVENT_TIMEOUT = "first_event_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    ABORTED = "aborted"
    """We closed it ourselves."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt. `message` is the provider's own, free of our credentials, or ours."""

    kind: FailureKind
    message: str
    status: int | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    retry_after_ms: int | None = None


class Fallback(StrEnum):
    """Who else may be asked."""

    NONE = "none"
    ANY = "any"
    CONTEXT = "context"
    POLICY = "policy"


class Park(StrEnum):
    """What is left alone, beside what the breaker says."""

    NOTHING = "nothing"
    RATE = "rate"
    CREDENTIAL = "credential"
    MODEL = "model"


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one failure means for the call and for the deployment."""

    fault: Fault
    retry: bool
    """The same deployment may be asked again."""
    fallback: Fallback
    counts: bool
    """Against the health of the deployment."""
    park: Park


_TIMEOUTS: Final = {
    FailureKind.CONNECT_TIMEOUT,
    FailureKind.FIRST_EVENT_TIMEOUT,
    FailureKind.IDLE_TIMEOUT,
    FailureKind.TOTAL_TIMEOUT,
}

_BY_CODE: Final = {
    "context_length_exceeded": Fault.CONTEXT_LENGTH_EXCEEDED,
    "content_filter": Fault.CONTENT_FILTER,
    "content_policy_violation": Fault.CONTENT_FILTER,
    "insufficient_quota": Fault.UPSTREAM_QUOTA,
    "billing_hard_limit_reached": Fault.UPSTREAM_QUOTA,
    "credit_balance_exhausted": Fault.UPSTREAM_QUOTA,
    "invalid_api_key": Fault.UPSTREAM_CREDENTIALS,
    "rate_limit_exceeded": Fault.UPSTREAM_RATE_LIMITED,
    "slow_down": Fault.UPSTREAM_RATE_LIMITED,
}

_BY_STATUS: Final = {
    400: Fault.UPSTREAM_REJECTED,
    401: Fault.UPSTREAM_CREDENTIALS,
    402: Fault.UPSTREAM_CREDENTIALS,
    403: Fault.UPSTREAM_CREDENTIALS,
    404: Fault.UPSTREAM_REJECTED,
    408: Fault.TIMEOUT,
    413: Fault.UPSTREAM_REJECTED,
    422: Fault.UPSTREAM_REJECTED,
    429: Fault.UPSTREAM_RATE_LIMITED,
    504: Fault.TIMEOUT,
}

_OURS: Final = {
    Fault.UPSTREAM_CREDENTIALS: "The provider refused the router's credentials. This is the operator's to mend.",
    Fault.UPSTREAM_QUOTA: "The router's quota at the provider is used up. This is the operator's to mend.",
}
"""Faults whose provider text may name accounts and keys: the caller gets these words instead."""


def fault_of(failure: Failure) -> Fault:
    """Name the fault of an attempt that failed before the caller saw a byte."""
    if failure.kind in _TIMEOUTS:
        return Fault.TIMEOUT
    if failure.kind not in (FailureKind.STATUS, FailureKind.ERROR_EVENT):
        return Fault.UPSTREAM_ERROR
    by_code = _BY_CODE.get(failure.code or "") or _BY_CODE.get(failure.type or "")
    if by_code is not None:
        return by_code
    return _BY_STATUS.get(failure.status or 0, Fault.UPSTREAM_ERROR)


def refusal_of(failure: Failure) -> Refusal:
    """Say to the caller what became of a call whose last attempt failed before its first byte."""
    fault = fault_of(failure)
    keeps_status = fault is Fault.UPSTREAM_REJECTED
    return Refusal(
        fault=fault,
        message=_OURS.get(fault) or failure.message[:MESSAGE_CHARS_MAX],
        param=failure.param if keeps_status else None,
        code=failure.code if keeps_status else None,
        http=failure.status if keeps_status else None,
        retry_after_ms=failure.retry_after_ms,
    )


def interruption_of(failure: Failure) -> Refusal:
    """Say to the caller why a stream ends that it had begun to read."""
    fault = fault_of(failure)
    if fault not in (Fault.TIMEOUT, Fault.CONTENT_FILTER, Fault.CONTEXT_LENGTH_EXCEEDED):
        fault = Fault.UPSTREAM_STREAM_INTERRUPTED
    return Refusal(fault=fault, message=_OURS.get(fault_of(failure)) or failure.message[:MESSAGE_CHARS_MAX])
