import datetime

from checkrein.v1 import chat_pb2 as _chat_pb2
from checkrein.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainRouteRequest(_message.Message):
    __slots__ = ("chat", "chat_json", "context")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    CHAT_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    chat: _chat_pb2.ChatCompletionRequest
    chat_json: bytes
    context: _common_pb2.CallContext
    def __init__(self, chat: _Optional[_Union[_chat_pb2.ChatCompletionRequest, _Mapping]] = ..., chat_json: _Optional[bytes] = ..., context: _Optional[_Union[_common_pb2.CallContext, _Mapping]] = ...) -> None: ...

class ExplainRouteResponse(_message.Message):
    __slots__ = ("asked_model", "model", "strategy", "substituted", "priority", "priority_lowered", "target", "admitted", "observed", "home", "candidates", "dropped", "fallbacks")
    ASKED_MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    SUBSTITUTED_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_LOWERED_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    asked_model: str
    model: str
    strategy: str
    substituted: str
    priority: str
    priority_lowered: bool
    target: str
    admitted: bool
    observed: bool
    home: str
    candidates: _containers.RepeatedCompositeFieldContainer[RouteCandidate]
    dropped: _containers.RepeatedCompositeFieldContainer[RouteDropped]
    fallbacks: _containers.RepeatedCompositeFieldContainer[RouteFallbacks]
    def __init__(self, asked_model: _Optional[str] = ..., model: _Optional[str] = ..., strategy: _Optional[str] = ..., substituted: _Optional[str] = ..., priority: _Optional[str] = ..., priority_lowered: bool = ..., target: _Optional[str] = ..., admitted: bool = ..., observed: bool = ..., home: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[RouteCandidate, _Mapping]]] = ..., dropped: _Optional[_Iterable[_Union[RouteDropped, _Mapping]]] = ..., fallbacks: _Optional[_Iterable[_Union[RouteFallbacks, _Mapping]]] = ...) -> None: ...

class RouteCandidate(_message.Message):
    __slots__ = ("target", "deployment", "provider", "upstream_model", "tier", "figure", "value", "ceiling_nano_usd", "held_nano_usd", "spared", "max_tokens", "admitted", "policies")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    UPSTREAM_MODEL_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    CEILING_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    HELD_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    SPARED_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    target: str
    deployment: str
    provider: str
    upstream_model: str
    tier: int
    figure: str
    value: float
    ceiling_nano_usd: int
    held_nano_usd: int
    spared: bool
    max_tokens: int
    admitted: bool
    policies: _containers.RepeatedCompositeFieldContainer[RoutePolicy]
    def __init__(self, target: _Optional[str] = ..., deployment: _Optional[str] = ..., provider: _Optional[str] = ..., upstream_model: _Optional[str] = ..., tier: _Optional[int] = ..., figure: _Optional[str] = ..., value: _Optional[float] = ..., ceiling_nano_usd: _Optional[int] = ..., held_nano_usd: _Optional[int] = ..., spared: bool = ..., max_tokens: _Optional[int] = ..., admitted: bool = ..., policies: _Optional[_Iterable[_Union[RoutePolicy, _Mapping]]] = ...) -> None: ...

class RoutePolicy(_message.Message):
    __slots__ = ("policy", "id", "refusal", "observed")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    policy: str
    id: str
    refusal: RouteRefusal
    observed: bool
    def __init__(self, policy: _Optional[str] = ..., id: _Optional[str] = ..., refusal: _Optional[_Union[RouteRefusal, _Mapping]] = ..., observed: bool = ...) -> None: ...

class RouteRefusal(_message.Message):
    __slots__ = ("reason", "message", "retry_after")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    retry_after: _duration_pb2.Duration
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class RouteDropped(_message.Message):
    __slots__ = ("target", "reason", "detail", "context_window", "until")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WINDOW_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    target: str
    reason: str
    detail: str
    context_window: int
    until: _timestamp_pb2.Timestamp
    def __init__(self, target: _Optional[str] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., context_window: _Optional[int] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RouteFallbacks(_message.Message):
    __slots__ = ("after", "models")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    after: str
    models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, after: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ...) -> None: ...

class CountTokensRequest(_message.Message):
    __slots__ = ("messages_json", "context")
    MESSAGES_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    messages_json: bytes
    context: _common_pb2.CallContext
    def __init__(self, messages_json: _Optional[bytes] = ..., context: _Optional[_Union[_common_pb2.CallContext, _Mapping]] = ...) -> None: ...

class CountTokensResponse(_message.Message):
    __slots__ = ("input_tokens", "estimated", "deployment")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    estimated: bool
    deployment: str
    def __init__(self, input_tokens: _Optional[int] = ..., estimated: bool = ..., deployment: _Optional[str] = ...) -> None: ...
