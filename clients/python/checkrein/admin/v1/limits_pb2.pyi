import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Limit(_message.Message):
    __slots__ = ("scope_kind", "scope_value", "limit", "limit_value", "remaining", "in_use", "resets_in", "smoothing", "observed")
    SCOPE_KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_VALUE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_VALUE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    IN_USE_FIELD_NUMBER: _ClassVar[int]
    RESETS_IN_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    scope_kind: str
    scope_value: str
    limit: str
    limit_value: int
    remaining: int
    in_use: int
    resets_in: _duration_pb2.Duration
    smoothing: str
    observed: bool
    def __init__(self, scope_kind: _Optional[str] = ..., scope_value: _Optional[str] = ..., limit: _Optional[str] = ..., limit_value: _Optional[int] = ..., remaining: _Optional[int] = ..., in_use: _Optional[int] = ..., resets_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., smoothing: _Optional[str] = ..., observed: bool = ...) -> None: ...

class ListLimitsRequest(_message.Message):
    __slots__ = ("scope_kind", "scope_value", "after", "limit")
    SCOPE_KIND_FIELD_NUMBER: _ClassVar[int]
    SCOPE_VALUE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    scope_kind: str
    scope_value: str
    after: str
    limit: int
    def __init__(self, scope_kind: _Optional[str] = ..., scope_value: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListLimitsResponse(_message.Message):
    __slots__ = ("limits", "next")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[Limit]
    next: str
    def __init__(self, limits: _Optional[_Iterable[_Union[Limit, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class UpstreamLimit(_message.Message):
    __slots__ = ("deployment", "credential", "provider", "blocked", "units")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    credential: str
    provider: str
    blocked: _duration_pb2.Duration
    units: _containers.RepeatedCompositeFieldContainer[UpstreamUnit]
    def __init__(self, deployment: _Optional[str] = ..., credential: _Optional[str] = ..., provider: _Optional[str] = ..., blocked: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., units: _Optional[_Iterable[_Union[UpstreamUnit, _Mapping]]] = ...) -> None: ...

class UpstreamUnit(_message.Message):
    __slots__ = ("unit", "limit_value", "remaining", "resets_in", "age")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_VALUE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESETS_IN_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    unit: str
    limit_value: int
    remaining: int
    resets_in: _duration_pb2.Duration
    age: _duration_pb2.Duration
    def __init__(self, unit: _Optional[str] = ..., limit_value: _Optional[int] = ..., remaining: _Optional[int] = ..., resets_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListUpstreamLimitsRequest(_message.Message):
    __slots__ = ("after", "limit")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListUpstreamLimitsResponse(_message.Message):
    __slots__ = ("limits", "next")
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    limits: _containers.RepeatedCompositeFieldContainer[UpstreamLimit]
    next: str
    def __init__(self, limits: _Optional[_Iterable[_Union[UpstreamLimit, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...
