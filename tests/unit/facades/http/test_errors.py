"""The one shape of errors, and what is said in headers."""

import json

import pytest

from router.domain.faults import WIRE, Fault, Refusal
from router.facades.http.errors import error_body, error_headers


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_the_shape(fault: Fault) -> None:
    error = json.loads(error_body(Refusal(fault=fault, message="what to do")))["error"]

    wire = WIRE[fault]
    assert {"message": "what to do", "type": wire.type, "param": None, "code": wire.code} == error


def test_a_code_of_the_provider_a_parameter_and_details_are_kept() -> None:
    refusal = Refusal(
        fault=Fault.UPSTREAM_REJECTED, message="m", param="p", code="their_code", details={"used": 7, "scope": "key"}
    )

    assert {
        "error": {
            "message": "m",
            "type": "invalid_request_error",
            "param": "p",
            "code": "their_code",
            "details": {"used": 7, "scope": "key"},
        }
    } == json.loads(error_body(refusal))


@pytest.mark.parametrize(("wait_ms", "seconds"), [(0, b"0"), (1, b"1"), (1_000, b"1"), (1_001, b"2"), (59_999, b"60")])
def test_a_wait_is_said_exactly_and_in_whole_seconds_rounded_up(wait_ms: int, seconds: bytes) -> None:
    headers = error_headers(Refusal(fault=Fault.OVERLOADED, message="m", retry_after_ms=wait_ms))

    assert [
        (b"content-type", b"application/json"),
        (b"retry-after", seconds),
        (b"retry-after-ms", b"%d" % wait_ms),
    ] == headers


@pytest.mark.parametrize("fault", Fault)
def test_sdks_are_told_not_to_retry_what_cannot_work(fault: Fault) -> None:
    told = (b"x-should-retry", b"false") in error_headers(Refusal(fault=fault, message="m"))

    assert told == (not WIRE[fault].retryable)
