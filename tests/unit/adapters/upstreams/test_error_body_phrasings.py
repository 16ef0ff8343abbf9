"""What providers really say is understood, from the bytes of the body to the verdict."""

import pytest

from router.adapters.upstreams.error_body import ErrorReader
from router.domain.dispatch.failure import Fallback, Park, Verdict, verdict_of
from router.domain.faults import Fault
from tests.support import phrasings
from tests.support.phrasings import Said

READER = ErrorReader("theirs", ["sk-proj-0123456789"])


def verdict(said: Said) -> Verdict:
    return verdict_of(READER.from_status(said.status, said.headers, said.body.encode(), 0))


def cases(*said: Said) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("said", said, ids=[one.who for one in said])


def test_there_are_twenty_recorded_ways_to_say_that_a_prompt_is_too_long() -> None:
    assert 20 <= len({said.source for said in phrasings.TOO_LONG})


@cases(*phrasings.TOO_LONG)
def test_a_prompt_that_is_too_long_is_known_and_never_counts(said: Said) -> None:
    assert Verdict(fault=Fault.CONTEXT_LENGTH_EXCEEDED, fallback=Fallback.CONTEXT) == verdict(said)


@cases(*phrasings.QUOTA)
def test_an_empty_purse_parks_its_credential(said: Said) -> None:
    assert Verdict(fault=Fault.UPSTREAM_QUOTA, park=Park.CREDENTIAL) == verdict(said)


@cases(*phrasings.RATE)
def test_a_rate_limit_is_no_empty_purse(said: Said) -> None:
    assert Verdict(fault=Fault.UPSTREAM_RATE_LIMITED, retry=True, park=Park.RATE) == verdict(said)


@cases(*phrasings.LARGE_FOR_THE_ACCOUNT)
def test_a_request_beyond_what_an_account_allows_keeps_nobody_else_away(said: Said) -> None:
    found = verdict(said)

    assert (False, Fallback.ANY, False, Park.NOTHING) == (found.retry, found.fallback, found.counts, found.park)
    assert found.fault in (Fault.UPSTREAM_RATE_LIMITED, Fault.UPSTREAM_QUOTA)


@cases(*phrasings.REFUSED)
def test_refused_content_goes_only_where_the_policy_says(said: Said) -> None:
    assert Verdict(fault=Fault.CONTENT_FILTER, fallback=Fallback.POLICY) == verdict(said)


@cases(*phrasings.BAD_CREDENTIAL)
def test_a_bad_credential_is_parked_whatever_the_status(said: Said) -> None:
    assert Verdict(fault=Fault.UPSTREAM_CREDENTIALS, park=Park.CREDENTIAL) == verdict(said)


@cases(*phrasings.NO_MODEL)
def test_a_model_that_is_not_to_be_had_is_parked_alone(said: Said) -> None:
    found = verdict(said)

    assert (False, Fallback.ANY, False, Park.MODEL) == (found.retry, found.fallback, found.counts, found.park)


@cases(*phrasings.WRONG)
def test_a_wrong_request_is_the_callers(said: Said) -> None:
    assert Verdict(fault=Fault.UPSTREAM_REJECTED, fallback=Fallback.NONE) == verdict(said)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', Fault.UPSTREAM_ERROR),
        ('{"type":"error","error":{"type":"rate_limit_error","message":"m"}}', Fault.UPSTREAM_RATE_LIMITED),
        ('{"object":"error","message":"prompt is too long","code":400}', Fault.CONTEXT_LENGTH_EXCEEDED),
        ('{"error":{"message":"m","type":"server_error"}}', Fault.UPSTREAM_ERROR),
        ('{"error":{"message":"m","type":"invalid_request_error"}}', Fault.UPSTREAM_REJECTED),
        ('{"error":{"message":"m"}}', Fault.UPSTREAM_ERROR),
    ],
)
def test_an_error_in_a_stream_is_understood_without_a_status(body: str, fault: Fault) -> None:
    failure = READER.from_success(body.encode())

    assert failure is not None
    assert fault is verdict_of(failure).fault
