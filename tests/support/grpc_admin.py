"""Administer a router over gRPC, and see its messages as HTTP shows the same."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
from checkrein.admin.v1 import (
    audit_pb2,
    breakers_pb2,
    budgets_pb2,
    keys_pb2,
    ledger_pb2,
    limits_pb2,
    tenants_pb2,
    usage_pb2,
)
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from tests.support.running import ADMIN

M = TypeVar("M", bound=Message)

FILES: Final = (
    keys_pb2,
    tenants_pb2,
    budgets_pb2,
    audit_pb2,
    usage_pb2,
    ledger_pb2,
    limits_pb2,
    breakers_pb2,
)
METHODS: Final[Mapping[str, MethodDescriptor]] = {
    method.name: method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""All of administration, by names that are nobody else's."""
PATIENCE_S: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Exception):
    """A call that ended in another status than OK, and what its details say."""

    code: str
    message: str
    info: Mapping[str, str]
    fields: tuple[str, ...]
    """Those that are at fault."""


class Admin:
    """All services of administrators, by the names of their methods."""

    def __init__(self, channel: grpc.aio.Channel, key: str | None) -> None:
        self._channel = channel
        self._metadata = () if key is None else (("authorization", f"Bearer {key}"),)

    async def ask(self, request: Message) -> Any:
        """Send a request to the method that takes it. Raises `Refused`."""
        method = METHODS[request.DESCRIPTOR.name.removesuffix("Request")]
        assert method.input_type is request.DESCRIPTOR
        call = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        try:
            return await call(request, metadata=self._metadata, timeout=PATIENCE_S)
        except grpc.aio.AioRpcError as exc:
            raise _refused(exc) from None

    async def refused(self, request: Message) -> Refused:
        try:
            reply = await self.ask(request)
        except Refused as exc:
            return exc
        raise AssertionError(f"nobody refused it: {reply}")


@contextlib.asynccontextmanager
async def admin(port: int, key: str | None = ADMIN) -> AsyncIterator[Admin]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Admin(channel, key)


def _refused(exc: grpc.aio.AioRpcError) -> Refused:
    raw = dict(exc.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    status = Status.FromString(bytes(raw))  # type: ignore[arg-type]  # `-bin` is bytes
    info, bad = ErrorInfo(), BadRequest()
    for detail in status.details:
        for kind in (info, bad):
            if detail.Is(kind.DESCRIPTOR):
                detail.Unpack(kind)
    assert (status.code, status.message) == (exc.code().value[0], exc.details())
    return Refused(
        code=exc.code().name,
        message=exc.details() or "",
        info=dict(info.metadata) | {"reason": info.reason},
        fields=tuple(violation.field for violation in bad.field_violations),
    )


# --- what a message says, as HTTP's JSON --------------------------------------------------------------------------

_NAMES: Final = {
    "create_time": "created_at_ms",
    "update_time": "updated_at_ms",
    "settings_json": "settings",
    "secrets": "secrets_until_ms",
    "time": "at_ms",
    "before_json": "before",
    "after_json": "after",
    "end_time": "until_ms",
    "reset_time": "resets_at_ms",
    "start_time": "started_at_ms",
    "duration": "duration_ms",
    "first_token": "first_token_ms",
    "decision_json": "decision",
    "reason": "fault",
    "opens_until": "opens_until_ms",
    "not_before": "not_before_ms",
    "credential_parked_until": "credential_parked_until_ms",
    "resets_in": "resets_in_ms",
    "blocked": "blocked_ms",
    "age": "said_ms_ago",
    "kind": "object",
    "values": "group",
    "total_nano_usd": "cost_nano_usd",
    "estimated": "usage_estimated",
    "clamped": "usage_clamped",
}
_OWN: Final = {
    ("TopUp", "reason"): "reason",
    ("AuditEvent", "kind"): "kind",
}
"""Where a message calls something as HTTP does that elsewhere has another name there."""
_INSIDE: Final = {"usage", "cost", "call", "attempt", "change"}
"""Messages whose members HTTP has beside them."""
_REASONS: Final = {"fault", "would_refuse", "credential_parked_why"}


def as_http(message: Message) -> dict[str, object]:
    """Say all that a message says, absent fields included, under the names and in the units of HTTP."""
    said: dict[str, object] = {}
    for field in message.DESCRIPTOR.fields:
        name = _OWN.get((message.DESCRIPTOR.name, field.name)) or _NAMES.get(field.name, field.name)
        value = _value(message, field)
        if field.name in _INSIDE:
            assert isinstance(value, dict)
            said |= value
        elif name in _REASONS and isinstance(value, str):
            assert value.isupper()
            said[name] = value.lower()
        else:
            said[name] = value
    return said


def _value(message: Message, field: FieldDescriptor) -> object:
    value = getattr(message, field.name)
    if field.is_repeated:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return dict(value)
        return [one if field.message_type is None else _secret(one) for one in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    if isinstance(value, Timestamp):
        return value.ToMilliseconds()
    if isinstance(value, Duration):
        return value.ToNanoseconds() / 1e6
    if isinstance(value, Message):
        return as_http(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name.removeprefix("TENANT_KIND_").lower()
    return json.loads(value) if field.name.endswith("_json") else value


def _secret(one: Message) -> object:
    """Return the one thing that there is to say of a key's secret, and all of anything else."""
    said = as_http(one)
    return said["expire_time"] if one.DESCRIPTOR.name == "KeySecret" else said


def flat(row: Mapping[str, Any]) -> dict[str, object]:
    """Return a row of HTTP's as messages have it: whose it is in two members, empty ones left out of groups."""
    found = dict(row)
    if isinstance(found.get("scope"), dict):
        scope = found.pop("scope")
        found |= {"scope_kind": scope["kind"], "scope_value": scope["value"]}
    for name, value in found.items():
        if name == "group":
            found[name] = {by: one for by, one in value.items() if one is not None}
        elif name == "tags":
            found[name] = [] if value is None else sorted(value.split(","))
        elif name == "account" and value is not None:
            found[name] = flat(value)
        elif name in ("attempts", "units", "limits"):
            found[name] = [flat(one) for one in value]
    return {name: value for name, value in found.items() if name != "object" or value in _KINDS}


_KINDS: Final = ("organization", "team", "user", "budget")
