from checkrein.v1 import chat_pb2 as _chat_pb2
from checkrein.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateChatCompletionRequest(_message.Message):
    __slots__ = ("chat", "chat_json", "context")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    CHAT_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    chat: _chat_pb2.ChatCompletionRequest
    chat_json: bytes
    context: _common_pb2.CallContext
    def __init__(self, chat: _Optional[_Union[_chat_pb2.ChatCompletionRequest, _Mapping]] = ..., chat_json: _Optional[bytes] = ..., context: _Optional[_Union[_common_pb2.CallContext, _Mapping]] = ...) -> None: ...

class CreateChatCompletionResponse(_message.Message):
    __slots__ = ("completion", "completion_json", "usage", "cost", "served")
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_JSON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    completion: _chat_pb2.ChatCompletion
    completion_json: bytes
    usage: _common_pb2.Usage
    cost: _common_pb2.Cost
    served: _common_pb2.Served
    def __init__(self, completion: _Optional[_Union[_chat_pb2.ChatCompletion, _Mapping]] = ..., completion_json: _Optional[bytes] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...

class StreamChatCompletionRequest(_message.Message):
    __slots__ = ("chat", "chat_json", "context")
    CHAT_FIELD_NUMBER: _ClassVar[int]
    CHAT_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    chat: _chat_pb2.ChatCompletionRequest
    chat_json: bytes
    context: _common_pb2.CallContext
    def __init__(self, chat: _Optional[_Union[_chat_pb2.ChatCompletionRequest, _Mapping]] = ..., chat_json: _Optional[bytes] = ..., context: _Optional[_Union[_common_pb2.CallContext, _Mapping]] = ...) -> None: ...

class StreamChatCompletionResponse(_message.Message):
    __slots__ = ("served", "chunks", "chunks_json", "summary")
    SERVED_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_JSON_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    served: _common_pb2.Served
    chunks: ChunkList
    chunks_json: ChunkJsonList
    summary: StreamSummary
    def __init__(self, served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ..., chunks: _Optional[_Union[ChunkList, _Mapping]] = ..., chunks_json: _Optional[_Union[ChunkJsonList, _Mapping]] = ..., summary: _Optional[_Union[StreamSummary, _Mapping]] = ...) -> None: ...

class ChunkList(_message.Message):
    __slots__ = ("chunks",)
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedCompositeFieldContainer[_chat_pb2.ChatCompletionChunk]
    def __init__(self, chunks: _Optional[_Iterable[_Union[_chat_pb2.ChatCompletionChunk, _Mapping]]] = ...) -> None: ...

class ChunkJsonList(_message.Message):
    __slots__ = ("chunks",)
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, chunks: _Optional[_Iterable[bytes]] = ...) -> None: ...

class StreamSummary(_message.Message):
    __slots__ = ("usage", "cost", "served")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    usage: _common_pb2.Usage
    cost: _common_pb2.Cost
    served: _common_pb2.Served
    def __init__(self, usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...
