import datetime

from checkrein.v1 import calls_pb2 as _calls_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallFilter(_message.Message):
    __slots__ = ("key", "team", "agent", "workflow", "model", "outcome", "reason", "since", "until")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TEAM_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    key: str
    team: str
    agent: str
    workflow: str
    model: str
    outcome: str
    reason: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    def __init__(self, key: _Optional[str] = ..., team: _Optional[str] = ..., agent: _Optional[str] = ..., workflow: _Optional[str] = ..., model: _Optional[str] = ..., outcome: _Optional[str] = ..., reason: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class LedgerCall(_message.Message):
    __slots__ = ("call", "hold_nano_usd", "would_refuse")
    CALL_FIELD_NUMBER: _ClassVar[int]
    HOLD_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    WOULD_REFUSE_FIELD_NUMBER: _ClassVar[int]
    call: _calls_pb2.Call
    hold_nano_usd: int
    would_refuse: str
    def __init__(self, call: _Optional[_Union[_calls_pb2.Call, _Mapping]] = ..., hold_nano_usd: _Optional[int] = ..., would_refuse: _Optional[str] = ...) -> None: ...

class LedgerAttempt(_message.Message):
    __slots__ = ("call_id", "request_id", "key_id", "attempt")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    request_id: str
    key_id: str
    attempt: _calls_pb2.Attempt
    def __init__(self, call_id: _Optional[str] = ..., request_id: _Optional[str] = ..., key_id: _Optional[str] = ..., attempt: _Optional[_Union[_calls_pb2.Attempt, _Mapping]] = ...) -> None: ...

class ListCallsRequest(_message.Message):
    __slots__ = ("filter", "after", "limit")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    filter: CallFilter
    after: str
    limit: int
    def __init__(self, filter: _Optional[_Union[CallFilter, _Mapping]] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListCallsResponse(_message.Message):
    __slots__ = ("calls", "next")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[LedgerCall]
    next: str
    def __init__(self, calls: _Optional[_Iterable[_Union[LedgerCall, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class ListAttemptsRequest(_message.Message):
    __slots__ = ("filter", "after", "limit")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    filter: CallFilter
    after: str
    limit: int
    def __init__(self, filter: _Optional[_Union[CallFilter, _Mapping]] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListAttemptsResponse(_message.Message):
    __slots__ = ("attempts", "next")
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    attempts: _containers.RepeatedCompositeFieldContainer[LedgerAttempt]
    next: str
    def __init__(self, attempts: _Optional[_Iterable[_Union[LedgerAttempt, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...
