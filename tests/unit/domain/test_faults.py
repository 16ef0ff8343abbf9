"""The one table of faults is whole and consistent."""

from http import HTTPStatus

import grpc
import pytest

from router.domain.faults import WIRE, Fault, Refusal, RouterError, refuse


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_its_line_in_the_table(fault: Fault) -> None:
    wire = WIRE[fault]

    assert 400 <= wire.http <= 599
    assert wire.http == 499 or HTTPStatus(wire.http).phrase  # 499 is nginx's, known to nobody's standard library
    assert hasattr(grpc.StatusCode, wire.grpc)


def test_a_refusal_may_keep_an_upstreams_status() -> None:
    assert 422 == Refusal(fault=Fault.UPSTREAM_REJECTED, message="no", http=422).status
    assert 400 == Refusal(fault=Fault.UPSTREAM_REJECTED, message="no").status


def test_an_operator_may_have_an_exhausted_budget_sent_as_402() -> None:
    assert 402 == Refusal(fault=Fault.BUDGET_EXHAUSTED, message="no", http=402).status
    assert 429 == Refusal(fault=Fault.BUDGET_EXHAUSTED, message="no").status


def test_an_sdk_retries_a_rate_and_no_budget_no_unknown_price_and_no_conflict() -> None:
    assert WIRE[Fault.RATE_LIMITED].retryable
    assert not WIRE[Fault.BUDGET_EXHAUSTED].retryable
    assert not WIRE[Fault.PRICE_UNKNOWN].retryable
    assert not WIRE[Fault.CONFLICT].retryable


def test_the_error_carries_its_refusal() -> None:
    error = refuse(Fault.MODEL_NOT_FOUND, "no such model", param="model")

    assert isinstance(error, RouterError)
    assert Refusal(fault=Fault.MODEL_NOT_FOUND, message="no such model", param="model") == error.refusal
