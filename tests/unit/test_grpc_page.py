"""docs/grpc.md says of every fault what the table of faults says, and what follows from it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.domain.faults import WIRE, Fault, Wire

PAGE = Path(__file__).parents[2] / "docs" / "grpc.md"


def test_the_page_lists_every_fault_with_its_status_its_reason_and_its_details() -> None:
    rows = [
        tuple(cell.strip().replace("`", "") for cell in line.strip("|").split("|"))
        for line in PAGE.read_text().splitlines()
        if re.match(r"\| `[a-z_]+` \| `[A-Z_]+` \|", line)
    ]

    assert [
        (fault.value, wire.grpc, fault.value.upper(), ", ".join(details_of(wire))) for fault, wire in WIRE.items()
    ] == rows


def details_of(wire: Wire) -> Iterator[str]:
    yield "ErrorInfo"
    if wire.grpc == "INVALID_ARGUMENT":
        yield "BadRequest"
    if wire.type in {"rate_limit_error", "insufficient_quota"}:
        yield "QuotaFailure"
    if wire.grpc in {"RESOURCE_EXHAUSTED", "UNAVAILABLE"} and wire.type != "invalid_request_error" and wire.retryable:
        yield "RetryInfo"


@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_in_upper_case_is_a_reason_as_google_rpc_wants_it(fault: Fault) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]", fault.value.upper())


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, {"INVALID_ARGUMENT", "FAILED_PRECONDITION"}),
        (401, {"UNAUTHENTICATED"}),
        (403, {"PERMISSION_DENIED", "FAILED_PRECONDITION"}),
        (404, {"NOT_FOUND", "UNIMPLEMENTED"}),
        (408, {"DEADLINE_EXCEEDED"}),
        (409, {"ABORTED"}),
        (413, {"RESOURCE_EXHAUSTED"}),
        (429, {"RESOURCE_EXHAUSTED"}),
        (499, {"CANCELLED"}),
        (500, {"INTERNAL"}),
        (502, {"UNAVAILABLE"}),
        (503, {"UNAVAILABLE"}),
        (504, {"DEADLINE_EXCEEDED"}),
    ],
)
def test_a_status_of_http_is_the_same_kind_of_failure_in_grpc(status: int, code: set[str]) -> None:
    assert code == {wire.grpc for wire in WIRE.values() if wire.http == status}
