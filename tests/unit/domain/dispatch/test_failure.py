"""What each failure means to the caller."""

import pytest

from router.domain.dispatch.failure import (
    MESSAGE_CHARS_MAX,
    Failure,
    FailureKind,
    fault_of,
    interruption_of,
    refusal_of,
)
from router.domain.faults import Fault


def status(http: int, /, **members: str) -> Failure:
    return Failure(kind=FailureKind.STATUS, status=http, message="theirs", **members)  # type: ignore[arg-type]  # text


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (FailureKind.CONNECT, Fault.UPSTREAM_ERROR),
        (FailureKind.RESET, Fault.UPSTREAM_ERROR),
        (FailureKind.EMPTY, Fault.UPSTREAM_ERROR),
        (FailureKind.MALFORMED, Fault.UPSTREAM_ERROR),
        (FailureKind.CUT, Fault.UPSTREAM_ERROR),
        (FailureKind.ABORTED, Fault.UPSTREAM_ERROR),
        (FailureKind.CONNECT_TIMEOUT, Fault.TIMEOUT),
        (FailureKind.FIRST_EVENT_TIMEOUT, Fault.TIMEOUT),
        (FailureKind.IDLE_TIMEOUT, Fault.TIMEOUT),
        (FailureKind.TOTAL_TIMEOUT, Fault.TIMEOUT),
    ],
)
def test_a_failure_of_the_connection_is_named_by_its_kind(kind: FailureKind, fault: Fault) -> None:
    assert fault is fault_of(Failure(kind=kind, message="m", status=400))


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (302, Fault.UPSTREAM_ERROR),
        (400, Fault.UPSTREAM_REJECTED),
        (401, Fault.UPSTREAM_CREDENTIALS),
        (402, Fault.UPSTREAM_CREDENTIALS),
        (403, Fault.UPSTREAM_CREDENTIALS),
        (404, Fault.UPSTREAM_REJECTED),
        (408, Fault.TIMEOUT),
        (413, Fault.UPSTREAM_REJECTED),
        (422, Fault.UPSTREAM_REJECTED),
        (429, Fault.UPSTREAM_RATE_LIMITED),
        (500, Fault.UPSTREAM_ERROR),
        (503, Fault.UPSTREAM_ERROR),
        (504, Fault.TIMEOUT),
        (529, Fault.UPSTREAM_ERROR),
    ],
)
def test_a_status_without_a_known_code_is_named_by_itself(code: int, fault: Fault) -> None:
    assert fault is fault_of(status(code, code="whatever"))


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"code": "context_length_exceeded"}, Fault.CONTEXT_LENGTH_EXCEEDED),
        ({"code": "content_filter"}, Fault.CONTENT_FILTER),
        ({"code": "insufficient_quota"}, Fault.UPSTREAM_QUOTA),
        ({"type": "insufficient_quota"}, Fault.UPSTREAM_QUOTA),
        ({"code": "invalid_api_key"}, Fault.UPSTREAM_CREDENTIALS),
        ({"code": "slow_down"}, Fault.UPSTREAM_RATE_LIMITED),
    ],
)
@pytest.mark.parametrize("http", [400, 429, 500])
def test_a_known_code_says_more_than_the_status(members: dict[str, str], fault: Fault, http: int) -> None:
    assert fault is fault_of(status(http, **members))


def test_a_rejection_goes_to_the_caller_as_it_came() -> None:
    refusal = refusal_of(status(422, code="bad_thing", param="tools"))

    assert (422, "theirs", "bad_thing", "tools") == (refusal.status, refusal.message, refusal.code, refusal.param)


@pytest.mark.parametrize("failure", [status(401, param="sk-1"), status(429, code="insufficient_quota", param="org-1")])
def test_the_operators_troubles_are_told_in_our_words(failure: Failure) -> None:
    refusal = refusal_of(failure)

    assert refusal.message.startswith("The ")
    assert "theirs" not in refusal.message
    assert refusal.param is None
    assert "theirs" not in interruption_of(failure).message


def test_a_rate_limit_keeps_its_wait() -> None:
    failure = Failure(kind=FailureKind.STATUS, status=429, message="m", retry_after_ms=1_500)

    assert (429, 1_500) == (refusal_of(failure).status, refusal_of(failure).retry_after_ms)


def test_a_message_is_cut() -> None:
    failure = Failure(kind=FailureKind.RESET, message="x" * 5_000)

    assert MESSAGE_CHARS_MAX == len(refusal_of(failure).message) == len(interruption_of(failure).message)


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (Failure(kind=FailureKind.CUT, message="m"), Fault.UPSTREAM_STREAM_INTERRUPTED),
        (Failure(kind=FailureKind.IDLE_TIMEOUT, message="m"), Fault.TIMEOUT),
        (Failure(kind=FailureKind.ERROR_EVENT, message="m", code="content_filter"), Fault.CONTENT_FILTER),
        (Failure(kind=FailureKind.ERROR_EVENT, message="m", status=429), Fault.UPSTREAM_STREAM_INTERRUPTED),
    ],
)
def test_a_stream_that_breaks_says_why(failure: Failure, fault: Fault) -> None:
    assert fault is interruption_of(failure).fault
