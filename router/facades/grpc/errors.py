"""Write a refusal as gRPC says it: a status, a message for people, and `google.rpc` details for programs."""

from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo
from google.rpc.status_pb2 import Status

from router.domain.faults import Fault, Refusal

DOMAIN: Final = "checkrein"
DETAILS_KEY: Final = "grpc-status-details-bin"
MESSAGE_BYTES_MAX: Final = 1024
"""Of a status message, as its percent-encoding has it on the wire."""
_VALUE_BYTES_MAX: Final = 128
"""Of each value among the details; with their number, which is closed, it keeps trailers below 4 KiB."""
_PLAIN: Final = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}~"
"""What gRPC does not percent-encode in a message, beside letters, digits and `-._~`."""

_KEPT: Final = {404: grpc.StatusCode.NOT_FOUND, 413: grpc.StatusCode.RESOURCE_EXHAUSTED}
"""What a provider said that refused a request, where its status says more than `INVALID_ARGUMENT`."""
_QUOTAS: Final = frozenset((Fault.RATE_LIMITED, Fault.BUDGET_EXHAUSTED, Fault.UPSTREAM_RATE_LIMITED))

Trailers = tuple[tuple[str, str | bytes], ...]


class Ending(NamedTuple):
    """How a call ends that was not served."""

    code: grpc.StatusCode
    message: str
    trailers: Trailers


def ending_of(
    refusal: Refusal, *, request_id: str, call_id: str | None = None, deployment: str | None = None
) -> Ending:
    """Say `refusal`. `deployment`: whom it is about, where it is a provider's."""
    code = grpc.StatusCode[refusal.wire.grpc]
    if refusal.fault is Fault.UPSTREAM_REJECTED:
        code = _KEPT.get(refusal.status, code)
    message = _short(refusal.message)
    status = Status(code=code.value[0], message=message)
    ids = {"request_id": request_id} if call_id is None else {"request_id": request_id, "call_id": call_id}
    for detail in _details(refusal, ids, deployment):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return Ending(code, message, ((DETAILS_KEY, status.SerializeToString()),))


def _details(refusal: Refusal, ids: dict[str, str], deployment: str | None) -> Iterator[Message]:
    final = refusal.final or not refusal.wire.retryable
    said: dict[str, object] = {
        "http_status": refusal.status,
        "type": refusal.wire.type,
        "code": refusal.code or refusal.wire.code,
        "param": refusal.param,
        **ids,
        **(refusal.details or {}),
        "should_retry": "false" if final else None,
    }
    metadata = {name: _cut(str(value)) for name, value in said.items() if value is not None}
    yield ErrorInfo(reason=refusal.fault.value.upper(), domain=DOMAIN, metadata=metadata)
    if refusal.param is not None and refusal.status < 500:
        violation = BadRequest.FieldViolation(field=_cut(refusal.param))
        yield BadRequest(field_violations=[violation])
    if refusal.fault in _QUOTAS:
        details = refusal.details or {}
        subject = (
            f"{details['scope']}:{details.get('limit')}" if "scope" in details else f"deployment:{deployment or '-'}"
        )
        yield QuotaFailure(violations=[QuotaFailure.Violation(subject=_cut(subject))])
    if refusal.retry_after_ms is not None and not final:
        delay = Duration()
        delay.FromMilliseconds(refusal.retry_after_ms)
        yield RetryInfo(retry_delay=delay)


def _cut(text: str) -> str:
    return text.encode()[:_VALUE_BYTES_MAX].decode(errors="ignore")


def _short(text: str) -> str:
    """Cut a message to what a trailer may take; it is percent-encoded there, three bytes for one."""
    if len(text) <= MESSAGE_BYTES_MAX and len(_quoted(text)) <= MESSAGE_BYTES_MAX:
        return text
    kept: list[str] = []
    room = MESSAGE_BYTES_MAX - len(_quoted("…"))
    for character in text[:MESSAGE_BYTES_MAX]:
        room -= len(_quoted(character))
        if room < 0:
            return "".join(kept) + "…"
        kept.append(character)
    return "".join(kept) + ("…" if len(text) > len(kept) else "")


def _quoted(text: str) -> str:
    return quote(text, safe=_PLAIN, errors="replace")
