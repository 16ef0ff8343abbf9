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
    """Who else may be asked instead."""

    NONE = "none"
    """Nobody: the request itself is wrong, and would be everywhere."""
    ANY = "any"
    CONTEXT = "context"
    """Only who takes longer prompts."""
    POLICY = "policy"
    """Only whom the operator named for refused content."""


class Park(StrEnum):
    """What is left alone for a while, beside what the breaker does."""

    NOTHING = "nothing"
    RATE = "rate"
    """The target, until it takes calls again."""
    CREDENTIAL = "credential"
    """The credential, at its provider."""
    MODEL = "model"
    """The target: its model is not to be had."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a failure means, and what may be done about it before the caller has seen a byte."""

    fault: Fault
    retry: bool = False
    """The same deployment may be asked again."""
    fallback: Fallback = Fallback.ANY
    counts: bool = False
    """Against the deployment's health. What a caller can bring about never does."""
    park: Park = Park.NOTHING


_BROKEN: Final = Verdict(fault=Fault.UPSTREAM_ERROR, retry=True, counts=True)
_SPOILT: Final = Verdict(fault=Fault.UPSTREAM_ERROR, counts=True)
_LATE: Final = Verdict(fault=Fault.TIMEOUT, counts=True)
_LATE_AGAIN: Final = Verdict(fault=Fault.TIMEOUT, retry=True, counts=True)
_TOO_SOON: Final = Verdict(fault=Fault.UPSTREAM_ERROR, retry=True)
_ODD: Final = Verdict(fault=Fault.UPSTREAM_ERROR)
_OURS_TO_END: Final = Verdict(fault=Fault.UPSTREAM_ERROR, fallback=Fallback.NONE)
_RATE: Final = Verdict(fault=Fault.UPSTREAM_RATE_LIMITED, retry=True, park=Park.RATE)
_LARGE_FOR_RATE: Final = Verdict(fault=Fault.UPSTREAM_RATE_LIMITED)
_QUOTA: Final = Verdict(fault=Fault.UPSTREAM_QUOTA, park=Park.CREDENTIAL)
_LARGE_FOR_QUOTA: Final = Verdict(fault=Fault.UPSTREAM_QUOTA)
_CREDENTIAL: Final = Verdict(fault=Fault.UPSTREAM_CREDENTIALS, park=Park.CREDENTIAL)
_FORBIDDEN: Final = Verdict(fault=Fault.UPSTREAM_CREDENTIALS)
_REGION: Final = Verdict(fault=Fault.UPSTREAM_CREDENTIALS, park=Park.MODEL)
_NO_MODEL: Final = Verdict(fault=Fault.UPSTREAM_REJECTED, park=Park.MODEL)
_CONTEXT: Final = Verdict(fault=Fault.CONTEXT_LENGTH_EXCEEDED, fallback=Fallback.CONTEXT)
_TOO_LARGE: Final = Verdict(fault=Fault.UPSTREAM_REJECTED, fallback=Fallback.CONTEXT)
_POLICY: Final = Verdict(fault=Fault.CONTENT_FILTER, fallback=Fallback.POLICY)
_REJECTED: Final = Verdict(fault=Fault.UPSTREAM_REJECTED, fallback=Fallback.NONE)

_BY_KIND: Final = {
    FailureKind.CONNECT: _BROKEN,
    FailureKind.RESET: _BROKEN,
    FailureKind.CONNECT_TIMEOUT: _LATE_AGAIN,
    FailureKind.FIRST_EVENT_TIMEOUT: _LATE,
    FailureKind.IDLE_TIMEOUT: _LATE,
    FailureKind.TOTAL_TIMEOUT: _LATE,
    FailureKind.EMPTY: _SPOILT,
    FailureKind.MALFORMED: _SPOILT,
    FailureKind.CUT: _SPOILT,
    FailureKind.ABORTED: _OURS_TO_END,
}

_BY_CODE: Final = {
    "context_length_exceeded": _CONTEXT,
    "exceed_context_size_error": _CONTEXT,
    "model_context_window_exceeded": _CONTEXT,
    "request_too_large": _TOO_LARGE,
    "content_filter": _POLICY,
    "content_policy_violation": _POLICY,
    "responsibleaipolicyviolation": _POLICY,
    "insufficient_quota": _QUOTA,
    "billing_error": _QUOTA,
    "billing_hard_limit_reached": _QUOTA,
    "credit_balance_exhausted": _QUOTA,
    "enforced_spend_limit_reached": _QUOTA,
    "organization_usage_limit_exceeded": _QUOTA,
    "invalid_api_key": _CREDENTIAL,
    "api_key_invalid": _CREDENTIAL,
    "authentication_error": _CREDENTIAL,
    "rate_limit_exceeded": _RATE,
    "rate_limit_error": _RATE,
    "slow_down": _RATE,
    "throttlingexception": _RATE,
    "overloaded_error": _BROKEN,
    "model_not_found": _NO_MODEL,
    "deploymentnotfound": _NO_MODEL,
    "unsupported_country_region_territory": _REGION,
}
"""Codes and types in lower case that mean the same whatever the status."""

_SPEND_LIMIT: Final = "_spend_limit_exceeded"
"""How OpenAI's codes for spend limits end; they begin with whose limit it is."""

_BY_TYPE: Final = {
    "api_error": _BROKEN,
    "server_error": _BROKEN,
    "internal_server_error": _BROKEN,
    "permission_error": _CREDENTIAL,
    "invalid_request_error": _REJECTED,
    "badrequesterror": _REJECTED,
}
"""Types that say something only where there is no status: in an event of a stream."""

_BY_STATUS: Final = {
    400: _REJECTED,
    401: _CREDENTIAL,
    402: _QUOTA,
    404: _REJECTED,
    408: Verdict(fault=Fault.TIMEOUT, retry=True),
    409: _TOO_SOON,
    413: _TOO_LARGE,
    422: _REJECTED,
    425: _TOO_SOON,
    429: _RATE,
    504: _LATE_AGAIN,
    **dict.fromkeys((500, 502, 503, 520, 521, 522, 523, 524, 529), _BROKEN),
}

_OPENINGS: Final = (
    ("request too large for", _LARGE_FOR_RATE),
    ("this request requires more credits", _LARGE_FOR_QUOTA),
    ("your credit balance is too low", _QUOTA),
    ("you have reached your specified api usage limits", _QUOTA),
    ("you have reached your specified workspace api usage limits", _QUOTA),
    ("you have reached your api usage limits", _QUOTA),
    ("insufficient balance", _QUOTA),
    ("api key not valid", _CREDENTIAL),
    ("the api deployment for this resource does not exist", _NO_MODEL),
    ("you don't have access to the model", _NO_MODEL),
)
"""How messages begin that say what neither code nor status says. Providers repeat what callers sent, and some of these
park a credential for everybody: so only the beginning of a message is believed, which no caller can write."""

_LONG: Final = (
    "maximum context length",
    "maximum prompt length",
    "maximum allowed input length",
    "context window of this model",
    "exceed context limit",
    "exceed context window of",
    "available context size",
    "longer than the model's context length",
    "loaded with context length of only",
    "context size has been exceeded",
    "model token limit",
    "prompt is too long",
    "input is too long",
    "too long to fit into the model",
    "input token count",
    "prompt token count",
    "total number of tokens (prompt",
    "tokens + `max_new_tokens` must be",
    "`inputs` must have less than",
    "reduce the length of the messages",
)
"""What messages say somewhere when a prompt is too long. A caller who makes a provider repeat one gains nothing."""

_REFUSED: Final = ("content management policy", "content filtering policy")
"""What messages say somewhere when the content was refused."""

_MODEL_WORDS: Final = ("the model ", "model ", "model:", "models/")
"""How a 404 begins that is about the model. A 404 about anything else, such as a file, is the caller's."""

_CALLERS: Final = {None, 400, 413, 422, 500}
"""Statuses whose message may say that the caller's request is why. Some local servers have nothing but 500."""


_OURS: Final = {
    Fault.UPSTREAM_CREDENTIALS: "The provider refused the router's credentials. This is the operator's to mend.",
    Fault.UPSTREAM_QUOTA: "The router's quota at the provider is used up. This is the operator's to mend.",
}
"""Faults whose provider text may name accounts and keys: the caller gets these words instead."""


def verdict_of(failure: Failure) -> Verdict:
    """Say what a failure means. Pure and bounded: a table by kind, then by code, words, status."""
    by_kind = _BY_KIND.get(failure.kind)
    return _read(failure) if by_kind is None else by_kind


def fault_of(failure: Failure) -> Fault:
    """Name the fault of an attempt that failed before the caller saw a byte."""
    return verdict_of(failure).fault


def _read(failure: Failure) -> Verdict:
    words = failure.message[:MESSAGE_CHARS_MAX].lower()
    for opening, verdict in _OPENINGS:
        if words.startswith(opening):
            return verdict
    names = [name.lower() for name in (failure.code, failure.type) if name]
    for name in names:
        if (by_code := _BY_CODE.get(name)) is not None:
            return by_code
        if name.endswith(_SPEND_LIMIT):
            return _QUOTA
    if failure.status in _CALLERS:
        if any(phrase in words for phrase in _LONG):
            return _CONTEXT
        if any(phrase in words for phrase in _REFUSED):
            return _POLICY
    return _by_status(failure, words, names)


def _by_status(failure: Failure, words: str, names: list[str]) -> Verdict:
    status = failure.status
    if status is None:
        return next((_BY_TYPE[name] for name in names if name in _BY_TYPE), _SPOILT)
    if status == 403:
        # Firewalls and moderators in front of models say a bare 403 to prompts: no prompt may cost us the credential.
        return _CREDENTIAL if any(not name.isdecimal() for name in names) else _FORBIDDEN
    if status == 404 and words.startswith(_MODEL_WORDS):
        return _NO_MODEL
    if (by_status := _BY_STATUS.get(status)) is not None:
        return by_status
    return _ODD if 400 <= status < 500 else _SPOILT


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
