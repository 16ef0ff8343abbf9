"""Every route says what went wrong as its own provider would."""

import json

import pytest

from router.domain.faults import WIRE, Fault, Refusal
from router.facades.http.voice import BY_PATH, VOICES

REFUSAL = Refusal(fault=Fault.RATE_LIMITED, message="Wait.", param="model", details={"limit": "rpm"})


@pytest.mark.parametrize("path", [path for path in VOICES if path != "/messages"])
def test_openais_routes_have_openais_shape(path: str) -> None:
    error = json.loads(VOICES[path].error(REFUSAL, "r1"))["error"]

    assert ("Wait.", "rate_limit_error", "model", "rate_limit_exceeded") == (
        error["message"],
        error["type"],
        error["param"],
        error["code"],
    )


def test_anthropics_route_has_anthropics_shape() -> None:
    said = json.loads(VOICES["/messages"].error(REFUSAL, "r1"))

    assert ("error", "r1") == (said["type"], said["request_id"])
    assert ("rate_limit_error", "Wait.", "rate_limit_exceeded", {"limit": "rpm"}) == (
        said["error"]["type"],
        said["error"]["message"],
        said["error"]["code"],
        said["error"]["details"],
    )


@pytest.mark.parametrize("fault", Fault)
def test_anthropics_type_goes_with_the_status(fault: Fault) -> None:
    kind = json.loads(VOICES["/messages"].error(Refusal(fault=fault, message="m"), "r"))["error"]["type"]
    status = WIRE[fault].http

    assert kind in {
        "invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large",
        "rate_limit_error", "api_error", "overloaded_error", "timeout_error",
    }  # fmt: skip
    assert (status >= 500) == (kind in {"api_error", "overloaded_error"} or status == 504)


@pytest.mark.parametrize(
    ("path", "name"), [("/chat/completions", None), ("/responses", b"error"), ("/messages", b"error")]
)
def test_an_error_in_a_stream_is_one_event_of_the_dialect(path: str, name: bytes | None) -> None:
    raw = VOICES[path].error_event(REFUSAL, "r1")
    head, _, data = raw.partition(b"data: ")

    assert (b"" if name is None else b"event: %b\n" % name) == head
    assert raw.endswith(b"\n\n")
    assert "Wait." == json.loads(data)["error"]["message"]


def test_a_route_is_the_same_with_and_without_its_version() -> None:
    assert {f"/v1{path}" for path in VOICES} | set(VOICES) == set(BY_PATH)
    assert all(BY_PATH[f"/v1{path}"] is voice for path, voice in VOICES.items())
