"""What the router refuses with becomes the exception for it, and what cannot be read becomes a plain one."""

import pickle

import grpc
import pytest
from checkrein.errors import (
    BY_REASON,
    BudgetExhausted,
    CheckreinError,
    InvalidApiKey,
    ModelNotFound,
    NotFound,
    RateLimited,
    Timeout,
    Unreachable,
    failure_of,
)
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from router.domain.faults import Fault
from tests.support.grpc_router import Refusal

NOBODY_ACTS_ON = {"METHOD_NOT_ALLOWED", "ROUTE_NOT_FOUND", "CONFLICT", "CLIENT_CLOSED", "INTERNAL"}
"""They are plain `CheckreinError`s."""


class Failed(grpc.RpcError):
    """What gRPC raises."""

    def __init__(self, status: grpc.StatusCode, text: str, trailer: object = ()) -> None:
        self._said = (status, text, trailer)

    def code(self) -> grpc.StatusCode:
        return self._said[0]

    def details(self) -> str:
        return self._said[1]

    def trailing_metadata(self) -> object:
        return self._said[2]


def refused(refusal: Refusal) -> CheckreinError:
    return failure_of(Failed(refusal.status, refusal.message, (("x-more", "1"), *refusal.trailer())))


def test_every_reason_of_the_router_has_a_class_or_is_one_that_nobody_acts_on() -> None:
    assert {fault.value.upper() for fault in Fault} - NOBODY_ACTS_ON == set(BY_REASON)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("BUDGET_EXHAUSTED", BudgetExhausted),
        ("RATE_LIMITED", RateLimited),
        ("INVALID_API_KEY", InvalidApiKey),
        ("MODEL_NOT_FOUND", ModelNotFound),
        ("REQUEST_TIMEOUT", Timeout),
        ("INTERNAL", CheckreinError),
        ("SOMETHING_NEW", CheckreinError),
    ],
)
def test_a_reason_is_its_class(reason: str, kind: type[CheckreinError]) -> None:
    error = refused(Refusal(status=grpc.StatusCode.ABORTED, message="No.", reason=reason))

    assert kind is type(error)
    assert (reason, grpc.StatusCode.ABORTED, "No.") == (error.reason, error.status, error.message)


def test_a_missing_model_is_a_missing_thing() -> None:
    assert issubclass(ModelNotFound, NotFound)


def test_all_that_is_said_of_a_failure_is_kept() -> None:
    metadata = {"http_status": "429", "call_id": "call_1", "request_id": "req_1", "scope": "key"}

    error = refused(
        Refusal(
            status=grpc.StatusCode.RESOURCE_EXHAUSTED,
            message="Slow down.",
            reason="RATE_LIMITED",
            metadata=metadata,
            retry_ms=1500,
        )
    )

    assert (429, "call_1", "req_1", 1.5) == (error.http_status, error.call_id, error.request_id, error.retry_after)
    assert metadata == error.details
    assert "RATE_LIMITED: Slow down. (call_1)" == str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(error), str(error), vars(error)) == (type(again), str(again), vars(again))


def test_nobody_elses_details_are_taken_for_the_routers() -> None:
    error = refused(
        Refusal(
            status=grpc.StatusCode.UNAVAILABLE,
            message="A proxy.",
            reason="RATE_LIMITED",
            domain="proxy.example",
            metadata={"call_id": "no"},
        )
    )

    assert (Unreachable, "", None) == (type(error), error.reason, error.call_id)
    assert "UNAVAILABLE: A proxy." == str(error)


def test_what_a_proxy_adds_to_the_routers_details_does_not_hide_them() -> None:
    status = Status()
    for domain in ("proxy.example", "checkrein", "proxy.example"):
        status.details.add().Pack(ErrorInfo(domain=domain, reason="OVERLOADED", metadata={"call_id": domain}))
    trailer = (("grpc-status-details-bin", status.SerializeToString()),)

    error = failure_of(Failed(grpc.StatusCode.UNAVAILABLE, "Full.", trailer))

    assert ("OVERLOADED", "checkrein") == (error.reason, error.call_id)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Timeout),
        (grpc.StatusCode.UNIMPLEMENTED, CheckreinError),
    ],
)
@pytest.mark.parametrize(
    "trailer", [None, (), (("grpc-status-details-bin", b"\xff"),), (("grpc-status-details-bin", b""),)]
)
def test_what_grpc_itself_fails_has_no_reason(
    status: grpc.StatusCode, kind: type[CheckreinError], trailer: object
) -> None:
    error = failure_of(Failed(status, "gRPC says so.", trailer))

    assert (kind, "", "gRPC says so.", None) == (type(error), error.reason, error.message, error.retry_after)


@pytest.mark.parametrize("text", ["", "abc", "99", "-400", "4000", "٤٠٠"])
def test_a_status_that_is_none_is_not_invented(text: str) -> None:
    error = refused(
        Refusal(status=grpc.StatusCode.INTERNAL, message="", reason="INTERNAL", metadata={"http_status": text})
    )

    assert error.http_status is None
