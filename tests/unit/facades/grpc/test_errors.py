"""A refusal is a status, a short message, and details that programs read, for every fault there is."""

from typing import TypeVar
from urllib.parse import unquote

import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo

from router.domain.faults import WIRE, Fault, Refusal
from router.facades.grpc.errors import MESSAGE_BYTES_MAX, Ending, ending_of
from tests.support.grpc_calls import Told
from tests.unit.test_grpc_page import details_of

TRAILERS_BYTES_MAX = 4_096
Detail = TypeVar("Detail", bound=Message)
LIMIT: dict[str, str | int] = {"limit": "each-agent", "scope": "agent", "limit_value": 5, "remaining": 0}


def told(ending: Ending) -> Told:
    heard = Told()
    heard.end(ending.code, ending.message, ending.trailers)
    return heard


def of(fault: Fault, message: str = "No. Do this.", **more: object) -> Told:
    return told(ending_of(Refusal(fault=fault, message=message, **more), request_id="r1"))  # type: ignore[arg-type]


def full(fault: Fault) -> Refusal:
    """All that is ever known beside such a fault."""
    quota = fault in {Fault.RATE_LIMITED, Fault.BUDGET_EXHAUSTED}
    waits = WIRE[fault].grpc in {"RESOURCE_EXHAUSTED", "UNAVAILABLE"} and fault is not Fault.REQUEST_TOO_LARGE
    return Refusal(
        fault=fault,
        message="No. Do this.",
        param="model" if WIRE[fault].grpc == "INVALID_ARGUMENT" else None,
        retry_after_ms=1_500 if waits else None,
        details=LIMIT if quota else None,
    )


@pytest.mark.parametrize("fault", list(Fault))
def test_each_fault_has_its_status_its_reason_and_its_details(fault: Fault) -> None:
    """As docs/grpc.md lists them, which a test compares with the same function."""
    heard = told(ending_of(full(fault), request_id="r1", call_id="c1", deployment="up/model"))

    assert (WIRE[fault].grpc, fault.value.upper(), "checkrein") == (
        heard.code, heard.info["reason"], heard.info["domain"],
    )  # fmt: skip
    assert list(details_of(WIRE[fault])) == list(heard.details)
    assert (str(WIRE[fault].http), WIRE[fault].type) == (heard.info["http_status"], heard.info["type"])
    assert WIRE[fault].code == heard.info.get("code")
    assert ("r1", "c1") == (heard.info["request_id"], heard.info["call_id"])
    assert (None if WIRE[fault].retryable else "false") == heard.info.get("should_retry")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NOT_FOUND"), (413, "RESOURCE_EXHAUSTED"), (400, "INVALID_ARGUMENT"), (422, "INVALID_ARGUMENT")],
)
def test_what_a_provider_refused_keeps_what_its_status_said(status: int, code: str) -> None:
    heard = of(Fault.UPSTREAM_REJECTED, http=status, code="their_own", param="temperature")

    assert (code, str(status), "their_own") == (heard.code, heard.info["http_status"], heard.info["code"])


def test_another_fault_of_that_status_is_said_as_itself() -> None:
    assert "RESOURCE_EXHAUSTED" == of(Fault.BUDGET_EXHAUSTED, http=402, details=LIMIT).code
    assert "402" == of(Fault.BUDGET_EXHAUSTED, http=402, details=LIMIT).info["http_status"]


def test_the_field_at_fault_is_named() -> None:
    violation = detail(of(Fault.INVALID_REQUEST, param="messages"), BadRequest)

    assert ["messages"] == [one.field for one in violation.field_violations]
    assert "BadRequest" not in of(Fault.INVALID_REQUEST).details
    assert "BadRequest" not in of(Fault.INTERNAL, param="messages").details, "it is not the request that is at fault"


def test_a_limit_is_named_by_its_scope_and_a_providers_by_the_deployment() -> None:
    ours = detail(of(Fault.RATE_LIMITED, details=LIMIT), QuotaFailure)
    refusal = Refusal(fault=Fault.UPSTREAM_RATE_LIMITED, message="No.")
    theirs = detail(told(ending_of(refusal, request_id="r1", deployment="up/model")), QuotaFailure)

    assert ["agent:each-agent"] == [one.subject for one in ours.violations]
    assert ["deployment:up/model"] == [one.subject for one in theirs.violations]
    assert {name: str(value) for name, value in LIMIT.items()}.items() <= of(
        Fault.RATE_LIMITED, details=LIMIT
    ).info.items()


def test_waiting_is_advised_where_it_helps_and_never_beside_advice_against_it() -> None:
    waits = detail(of(Fault.OVERLOADED, retry_after_ms=1_500), RetryInfo)
    final = of(Fault.OVERLOADED, retry_after_ms=1_500, final=True)
    broke = of(Fault.BUDGET_EXHAUSTED, retry_after_ms=1_500, details=LIMIT)

    assert 1_500 == waits.retry_delay.ToMilliseconds()
    assert ("false", "false") == (final.info["should_retry"], broke.info["should_retry"])
    assert not {"RetryInfo"} & (final.details.keys() | broke.details.keys())
    assert "RetryInfo" in of(Fault.OVERLOADED, retry_after_ms=0).details


def detail(heard: Told, kind: type[Detail]) -> Detail:
    found = heard.details[kind.DESCRIPTOR.name]
    assert isinstance(found, kind)
    return found


# --- sizes -----------------------------------------------------------------------------------------------------------


def encoded_bytes(text: str) -> int:
    """As gRPC's protocol says: what is no printable ASCII, and %, takes three bytes for one."""
    return sum(1 if 0x20 <= byte <= 0x7E and byte != 0x25 else 3 for byte in text.encode())


@pytest.mark.parametrize("letter", ["x", "%", "€", "🦄", "\n", "é", "\x7f"])
@pytest.mark.parametrize("count", [1, 113, 114, 341, 342, 1_023, 1_024, 1_025, 100_000])
def test_a_message_takes_at_most_a_kibibyte_and_says_that_it_was_cut(letter: str, count: int) -> None:
    message = of(Fault.UPSTREAM_REJECTED, letter * count).message

    assert encoded_bytes(message) <= MESSAGE_BYTES_MAX
    if message != letter * count:
        assert message.endswith("…")
        assert letter * (len(message) - 1) == message[:-1]
        assert encoded_bytes(letter * len(message)) + encoded_bytes("…") > MESSAGE_BYTES_MAX, "no more than must be"
    else:
        assert encoded_bytes(letter * count) <= MESSAGE_BYTES_MAX


def test_a_message_that_fits_is_as_it_was() -> None:
    text = "Ünïcode 100 % “quoted” twice: 🦄. Do this."

    assert text == of(Fault.INVALID_REQUEST, text).message == unquote(text.replace("%", "%25"))


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("letter", ["x", "€", "🦄", "%"])
def test_trailers_are_small_for_the_worst_refusal_there_can_be(fault: Fault, letter: str) -> None:
    """Whatever a provider says, and however long the names are that an operator gave: peers take 8 KiB and no more."""
    foreign = letter * 100_000
    refusal = Refusal(
        fault=fault,
        message=foreign,
        param=foreign if WIRE[fault].grpc == "INVALID_ARGUMENT" else None,
        code=foreign if fault is Fault.UPSTREAM_REJECTED else None,
        retry_after_ms=10**12,
        details={"limit": foreign, "scope": "organization", "unit": "cached_input_tokens"}
        | dict.fromkeys(("limit_value", "used", "reserved", "wanted", "resets_at"), -(2**63))
        if fault in {Fault.RATE_LIMITED, Fault.BUDGET_EXHAUSTED, Fault.INVALID_REQUEST}
        else None,
    )
    ending = ending_of(refusal, request_id="x" * 128, call_id="c" * 26, deployment=foreign)
    ((_, packed),) = ending.trailers

    assert encoded_bytes(ending.message) <= MESSAGE_BYTES_MAX
    assert len(packed) <= TRAILERS_BYTES_MAX, "the details by themselves"
    assert told(ending).info["reason"] == fault.value.upper()
    sizes = [encoded_bytes(ending.message) + len("grpc-message"), len(packed) * 4 // 3 + len("grpc-status-details-bin")]
    assert sum(sizes) + len("grpc-status") + 2 + 3 * 32 <= TRAILERS_BYTES_MAX


def test_a_value_among_the_details_is_cut() -> None:
    info = of(Fault.UPSTREAM_REJECTED, param="p" * 1_000, code="c" * 1_000).info

    assert ("p" * 128, "c" * 128) == (info["param"], info["code"])


def test_nothing_is_said_that_is_not_known() -> None:
    heard = told(ending_of(Refusal(fault=Fault.INTERNAL, message="No."), request_id="r1"))
    (info,) = heard.details.values()

    assert isinstance(info, ErrorInfo)
    assert {"http_status", "type", "request_id"} == set(info.metadata)
