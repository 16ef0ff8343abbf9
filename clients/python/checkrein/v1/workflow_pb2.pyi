import datetime

from checkrein.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CallState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_STATE_UNSPECIFIED: _ClassVar[CallState]
    CALL_STATE_QUEUED: _ClassVar[CallState]
    CALL_STATE_AWAITING_APPROVAL: _ClassVar[CallState]
    CALL_STATE_RUNNING: _ClassVar[CallState]
    CALL_STATE_SUCCEEDED: _ClassVar[CallState]
    CALL_STATE_FAILED: _ClassVar[CallState]
    CALL_STATE_CANCELLED: _ClassVar[CallState]
    CALL_STATE_PREEMPTED: _ClassVar[CallState]
CALL_STATE_UNSPECIFIED: CallState
CALL_STATE_QUEUED: CallState
CALL_STATE_AWAITING_APPROVAL: CallState
CALL_STATE_RUNNING: CallState
CALL_STATE_SUCCEEDED: CallState
CALL_STATE_FAILED: CallState
CALL_STATE_CANCELLED: CallState
CALL_STATE_PREEMPTED: CallState

class Workflow(_message.Message):
    __slots__ = ("id", "state", "create_time", "update_time", "call_count", "max_depth", "usage", "cost", "tags")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CALL_COUNT_FIELD_NUMBER: _ClassVar[int]
    MAX_DEPTH_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: CallState
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    call_count: int
    max_depth: int
    usage: _common_pb2.Usage
    cost: _common_pb2.Cost
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[CallState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., call_count: _Optional[int] = ..., max_depth: _Optional[int] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class CallNode(_message.Message):
    __slots__ = ("call_id", "parent_call_id", "agent", "state", "depth", "asked_model", "served", "usage", "cost", "start_time", "duration", "reason", "request_fingerprint")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    ASKED_MODEL_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    parent_call_id: str
    agent: str
    state: CallState
    depth: int
    asked_model: str
    served: _common_pb2.Served
    usage: _common_pb2.Usage
    cost: _common_pb2.Cost
    start_time: _timestamp_pb2.Timestamp
    duration: _duration_pb2.Duration
    reason: str
    request_fingerprint: str
    def __init__(self, call_id: _Optional[str] = ..., parent_call_id: _Optional[str] = ..., agent: _Optional[str] = ..., state: _Optional[_Union[CallState, str]] = ..., depth: _Optional[int] = ..., asked_model: _Optional[str] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ..., request_fingerprint: _Optional[str] = ...) -> None: ...

class WaitEdge(_message.Message):
    __slots__ = ("waiting_call_id", "holding_call_id", "resource")
    WAITING_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDING_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    waiting_call_id: str
    holding_call_id: str
    resource: str
    def __init__(self, waiting_call_id: _Optional[str] = ..., holding_call_id: _Optional[str] = ..., resource: _Optional[str] = ...) -> None: ...

class ListWorkflowsRequest(_message.Message):
    __slots__ = ("after", "limit", "state", "tag")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    after: str
    limit: int
    state: CallState
    tag: str
    def __init__(self, after: _Optional[str] = ..., limit: _Optional[int] = ..., state: _Optional[_Union[CallState, str]] = ..., tag: _Optional[str] = ...) -> None: ...

class ListWorkflowsResponse(_message.Message):
    __slots__ = ("workflows", "next")
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    workflows: _containers.RepeatedCompositeFieldContainer[Workflow]
    next: str
    def __init__(self, workflows: _Optional[_Iterable[_Union[Workflow, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class GetWorkflowRequest(_message.Message):
    __slots__ = ("workflow_id",)
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    def __init__(self, workflow_id: _Optional[str] = ...) -> None: ...

class GetWorkflowResponse(_message.Message):
    __slots__ = ("workflow",)
    WORKFLOW_FIELD_NUMBER: _ClassVar[int]
    workflow: Workflow
    def __init__(self, workflow: _Optional[_Union[Workflow, _Mapping]] = ...) -> None: ...

class GetCallGraphRequest(_message.Message):
    __slots__ = ("workflow_id",)
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    def __init__(self, workflow_id: _Optional[str] = ...) -> None: ...

class GetCallGraphResponse(_message.Message):
    __slots__ = ("nodes", "wait_edges", "critical_path")
    NODES_FIELD_NUMBER: _ClassVar[int]
    WAIT_EDGES_FIELD_NUMBER: _ClassVar[int]
    CRITICAL_PATH_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[CallNode]
    wait_edges: _containers.RepeatedCompositeFieldContainer[WaitEdge]
    critical_path: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, nodes: _Optional[_Iterable[_Union[CallNode, _Mapping]]] = ..., wait_edges: _Optional[_Iterable[_Union[WaitEdge, _Mapping]]] = ..., critical_path: _Optional[_Iterable[str]] = ...) -> None: ...

class CancelWorkflowRequest(_message.Message):
    __slots__ = ("workflow_id", "call_id", "mode", "grace_period", "reason")
    class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        MODE_UNSPECIFIED: _ClassVar[CancelWorkflowRequest.Mode]
        MODE_IMMEDIATE: _ClassVar[CancelWorkflowRequest.Mode]
        MODE_GRACEFUL: _ClassVar[CancelWorkflowRequest.Mode]
    MODE_UNSPECIFIED: CancelWorkflowRequest.Mode
    MODE_IMMEDIATE: CancelWorkflowRequest.Mode
    MODE_GRACEFUL: CancelWorkflowRequest.Mode
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    GRACE_PERIOD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    call_id: str
    mode: CancelWorkflowRequest.Mode
    grace_period: _duration_pb2.Duration
    reason: str
    def __init__(self, workflow_id: _Optional[str] = ..., call_id: _Optional[str] = ..., mode: _Optional[_Union[CancelWorkflowRequest.Mode, str]] = ..., grace_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelWorkflowResponse(_message.Message):
    __slots__ = ("cancelled_call_ids", "finishing_call_ids")
    CANCELLED_CALL_IDS_FIELD_NUMBER: _ClassVar[int]
    FINISHING_CALL_IDS_FIELD_NUMBER: _ClassVar[int]
    cancelled_call_ids: _containers.RepeatedScalarFieldContainer[str]
    finishing_call_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cancelled_call_ids: _Optional[_Iterable[str]] = ..., finishing_call_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class PartialOutput(_message.Message):
    __slots__ = ("call_id", "agent", "text", "message_json", "usage", "cost", "reason", "save_time")
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SAVE_TIME_FIELD_NUMBER: _ClassVar[int]
    call_id: str
    agent: str
    text: str
    message_json: str
    usage: _common_pb2.Usage
    cost: _common_pb2.Cost
    reason: str
    save_time: _timestamp_pb2.Timestamp
    def __init__(self, call_id: _Optional[str] = ..., agent: _Optional[str] = ..., text: _Optional[str] = ..., message_json: _Optional[str] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ..., reason: _Optional[str] = ..., save_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPartialOutputsRequest(_message.Message):
    __slots__ = ("workflow_id", "after", "limit")
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    workflow_id: str
    after: str
    limit: int
    def __init__(self, workflow_id: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListPartialOutputsResponse(_message.Message):
    __slots__ = ("outputs", "next")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[PartialOutput]
    next: str
    def __init__(self, outputs: _Optional[_Iterable[_Union[PartialOutput, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...
