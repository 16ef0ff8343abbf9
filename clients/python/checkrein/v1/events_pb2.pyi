import datetime

from checkrein.v1 import common_pb2 as _common_pb2
from checkrein.v1 import workflow_pb2 as _workflow_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_CALL_STATE_CHANGED: _ClassVar[EventKind]
    EVENT_KIND_ROUTE_FALLBACK: _ClassVar[EventKind]
    EVENT_KIND_PREEMPTED: _ClassVar[EventKind]
    EVENT_KIND_BUDGET_THRESHOLD: _ClassVar[EventKind]
    EVENT_KIND_BUDGET_EXHAUSTED: _ClassVar[EventKind]
    EVENT_KIND_RATE_LIMITED: _ClassVar[EventKind]
    EVENT_KIND_BREAKER_CHANGED: _ClassVar[EventKind]
    EVENT_KIND_LOOP_DETECTED: _ClassVar[EventKind]
    EVENT_KIND_DEADLOCK_BROKEN: _ClassVar[EventKind]
    EVENT_KIND_AGENT_QUARANTINED: _ClassVar[EventKind]
    EVENT_KIND_APPROVAL_REQUESTED: _ClassVar[EventKind]
    EVENT_KIND_APPROVAL_RESOLVED: _ClassVar[EventKind]
    EVENT_KIND_CONFIG_CHANGED: _ClassVar[EventKind]
    EVENT_KIND_BOTTLENECK: _ClassVar[EventKind]
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_CALL_STATE_CHANGED: EventKind
EVENT_KIND_ROUTE_FALLBACK: EventKind
EVENT_KIND_PREEMPTED: EventKind
EVENT_KIND_BUDGET_THRESHOLD: EventKind
EVENT_KIND_BUDGET_EXHAUSTED: EventKind
EVENT_KIND_RATE_LIMITED: EventKind
EVENT_KIND_BREAKER_CHANGED: EventKind
EVENT_KIND_LOOP_DETECTED: EventKind
EVENT_KIND_DEADLOCK_BROKEN: EventKind
EVENT_KIND_AGENT_QUARANTINED: EventKind
EVENT_KIND_APPROVAL_REQUESTED: EventKind
EVENT_KIND_APPROVAL_RESOLVED: EventKind
EVENT_KIND_CONFIG_CHANGED: EventKind
EVENT_KIND_BOTTLENECK: EventKind

class WatchEventsRequest(_message.Message):
    __slots__ = ("kinds", "workflow_id", "resume_after")
    KINDS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    kinds: _containers.RepeatedScalarFieldContainer[EventKind]
    workflow_id: str
    resume_after: int
    def __init__(self, kinds: _Optional[_Iterable[_Union[EventKind, str]]] = ..., workflow_id: _Optional[str] = ..., resume_after: _Optional[int] = ...) -> None: ...

class WatchEventsResponse(_message.Message):
    __slots__ = ("event", "lagged", "heartbeat")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    LAGGED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    lagged: int
    heartbeat: _timestamp_pb2.Timestamp
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., lagged: _Optional[int] = ..., heartbeat: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("id", "kind", "time", "workflow_id", "call_id", "severity", "message", "attributes", "call_state", "cost")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CALL_STATE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: EventKind
    time: _timestamp_pb2.Timestamp
    workflow_id: str
    call_id: str
    severity: str
    message: str
    attributes: _containers.ScalarMap[str, str]
    call_state: _workflow_pb2.CallState
    cost: _common_pb2.Cost
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[EventKind, str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., workflow_id: _Optional[str] = ..., call_id: _Optional[str] = ..., severity: _Optional[str] = ..., message: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., call_state: _Optional[_Union[_workflow_pb2.CallState, str]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ...) -> None: ...
