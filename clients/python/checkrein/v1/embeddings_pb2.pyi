from checkrein.v1 import chat_pb2 as _chat_pb2
from checkrein.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateEmbeddingsRequest(_message.Message):
    __slots__ = ("embeddings", "embeddings_json", "context")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    embeddings: EmbeddingsRequest
    embeddings_json: bytes
    context: _common_pb2.CallContext
    def __init__(self, embeddings: _Optional[_Union[EmbeddingsRequest, _Mapping]] = ..., embeddings_json: _Optional[bytes] = ..., context: _Optional[_Union[_common_pb2.CallContext, _Mapping]] = ...) -> None: ...

class EmbeddingsRequest(_message.Message):
    __slots__ = ("model", "text", "texts", "tokens", "token_lists", "dimensions", "encoding_format", "user", "extra_json")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LISTS_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FORMAT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: str
    texts: _chat_pb2.TextList
    tokens: TokenList
    token_lists: TokenLists
    dimensions: int
    encoding_format: str
    user: str
    extra_json: str
    def __init__(self, model: _Optional[str] = ..., text: _Optional[str] = ..., texts: _Optional[_Union[_chat_pb2.TextList, _Mapping]] = ..., tokens: _Optional[_Union[TokenList, _Mapping]] = ..., token_lists: _Optional[_Union[TokenLists, _Mapping]] = ..., dimensions: _Optional[int] = ..., encoding_format: _Optional[str] = ..., user: _Optional[str] = ..., extra_json: _Optional[str] = ...) -> None: ...

class TokenList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class TokenLists(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[TokenList]
    def __init__(self, values: _Optional[_Iterable[_Union[TokenList, _Mapping]]] = ...) -> None: ...

class CreateEmbeddingsResponse(_message.Message):
    __slots__ = ("reply", "reply_json", "usage", "cost", "served")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    REPLY_JSON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    SERVED_FIELD_NUMBER: _ClassVar[int]
    reply: EmbeddingsReply
    reply_json: bytes
    usage: _common_pb2.Usage
    cost: _common_pb2.Cost
    served: _common_pb2.Served
    def __init__(self, reply: _Optional[_Union[EmbeddingsReply, _Mapping]] = ..., reply_json: _Optional[bytes] = ..., usage: _Optional[_Union[_common_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.Cost, _Mapping]] = ..., served: _Optional[_Union[_common_pb2.Served, _Mapping]] = ...) -> None: ...

class EmbeddingsReply(_message.Message):
    __slots__ = ("object", "model", "data", "usage_json", "extra_json")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    USAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    object: str
    model: str
    data: _containers.RepeatedCompositeFieldContainer[Embedding]
    usage_json: str
    extra_json: str
    def __init__(self, object: _Optional[str] = ..., model: _Optional[str] = ..., data: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., usage_json: _Optional[str] = ..., extra_json: _Optional[str] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("object", "index", "floats", "base64", "extra_json")
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FLOATS_FIELD_NUMBER: _ClassVar[int]
    BASE64_FIELD_NUMBER: _ClassVar[int]
    EXTRA_JSON_FIELD_NUMBER: _ClassVar[int]
    object: str
    index: int
    floats: Vector
    base64: str
    extra_json: str
    def __init__(self, object: _Optional[str] = ..., index: _Optional[int] = ..., floats: _Optional[_Union[Vector, _Mapping]] = ..., base64: _Optional[str] = ..., extra_json: _Optional[str] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...
