"""What each failure means to the caller."""

import pytest

from router.domain.dispatch.failure import (
    MESSAGE_CHARS_MAX,
    Failure,
    FailureKind,
    Fallback,
    Park,
    Verdict,
    fault_of,
    interruption_of,
    refusal_of,
    verdict_of,
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
        (402, Fault.UPSTREAM_QUOTA),
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


def outline(verdict: Verdict) -> tuple[bool, Fallback, bool, Park]:
    return verdict.retry, verdict.fallback, verdict.counts, verdict.park


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FailureKind.CONNECT, (True, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.CONNECT_TIMEOUT, (True, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.RESET, (True, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.FIRST_EVENT_TIMEOUT, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.IDLE_TIMEOUT, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.TOTAL_TIMEOUT, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.EMPTY, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.MALFORMED, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.CUT, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.ERROR_EVENT, (False, Fallback.ANY, True, Park.NOTHING)),
        (FailureKind.ABORTED, (False, Fallback.NONE, False, Park.NOTHING)),
    ],
)
def test_a_failure_without_a_status_is_judged_by_its_kind(
    kind: FailureKind, expected: tuple[bool, Fallback, bool, Park]
) -> None:
    assert expected == outline(verdict_of(Failure(kind=kind, message="m")))


@pytest.mark.parametrize("kind", [FailureKind.STATUS, FailureKind.ERROR_EVENT])
@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((400, 404, 422), (False, Fallback.NONE, False, Park.NOTHING)),
        ((413,), (False, Fallback.CONTEXT, False, Park.NOTHING)),
        ((401, 402), (False, Fallback.ANY, False, Park.CREDENTIAL)),
        ((403, 405, 418, 424, 431), (False, Fallback.ANY, False, Park.NOTHING)),
        ((408, 409, 425), (True, Fallback.ANY, False, Park.NOTHING)),
        ((429,), (True, Fallback.ANY, False, Park.RATE)),
        ((500, 502, 503, 504, 520, 521, 522, 523, 524, 529), (True, Fallback.ANY, True, Park.NOTHING)),
        ((302, 501, 505, 599), (False, Fallback.ANY, True, Park.NOTHING)),
    ],
)
def test_a_status_without_further_words_is_judged_by_itself(
    kind: FailureKind, statuses: tuple[int, ...], expected: tuple[bool, Fallback, bool, Park]
) -> None:
    found = {http: outline(verdict_of(Failure(kind=kind, status=http, message="m"))) for http in statuses}

    assert dict.fromkeys(statuses, expected) == found


@pytest.mark.parametrize("http", [400, 422])
@pytest.mark.parametrize(
    "words", ["your credit balance is too low", "insufficient balance", "api key not valid", "request too large for"]
)
def test_words_that_a_caller_made_a_provider_repeat_park_nothing(http: int, words: str) -> None:
    failure = Failure(
        kind=FailureKind.STATUS, status=http, message=f"Invalid value: '{words}'", type="invalid_request_error"
    )

    assert (False, Fallback.NONE, False, Park.NOTHING) == outline(verdict_of(failure))


def test_no_prompt_that_a_firewall_dislikes_parks_a_credential() -> None:
    bare = Failure(kind=FailureKind.STATUS, status=403, message="up answered with status 403")
    moderated = Failure(kind=FailureKind.STATUS, status=403, message="m", code="403")

    assert (Park.NOTHING, Park.NOTHING) == (verdict_of(bare).park, verdict_of(moderated).park)
    assert Park.CREDENTIAL is verdict_of(status(403, type="permission_error")).park


def test_a_404_parks_the_model_only_when_it_is_about_the_model() -> None:
    file = Failure(kind=FailureKind.STATUS, status=404, message="No such File object: file-1", code="not_found")
    model = Failure(kind=FailureKind.STATUS, status=404, message="The model `m` does not exist.", type="NotFoundError")

    assert (Fallback.NONE, Park.NOTHING) == (verdict_of(file).fallback, verdict_of(file).park)
    assert (Fallback.ANY, Park.MODEL) == (verdict_of(model).fallback, verdict_of(model).park)


@pytest.mark.parametrize("http", [401, 404, 429, 503])
def test_words_about_a_long_prompt_do_not_outdo_a_status_that_says_more(http: int) -> None:
    failure = Failure(kind=FailureKind.STATUS, status=http, message="too many tokens: prompt is too long")

    assert verdict_of(failure).fault is not Fault.CONTEXT_LENGTH_EXCEEDED
