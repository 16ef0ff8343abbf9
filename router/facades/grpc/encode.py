"""Put the JSON of a reply or of a chunk into its typed message, or say that none can hold it.

What returns None is sent as its JSON. Nothing is raised, whatever the bytes are.
"""

from typing import TypeVar

from checkrein.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk
from checkrein.v1.embeddings_pb2 import EmbeddingsReply
from google.protobuf.message import Message

from router.facades.grpc.halves import read_object
from router.facades.grpc.kinds import NOT_HELD
from router.facades.grpc.table import OBJECTS

Typed = TypeVar("Typed", bound=Message)


def completion(body: bytes) -> ChatCompletion | None:
    return encoded(ChatCompletion, body)


def chunk(body: bytes) -> ChatCompletionChunk | None:
    """Encode the data of one event."""
    return encoded(ChatCompletionChunk, body)


def embeddings(body: bytes) -> EmbeddingsReply | None:
    return encoded(EmbeddingsReply, body)


def encoded(message: type[Typed], body: bytes) -> Typed | None:
    """Return a message that holds this JSON exactly, but for spaces, and members that come twice: the last counts."""
    try:
        if not body.isascii():  # the decoder skips what it leaves as bytes
            body.decode()
        held = OBJECTS[message.DESCRIPTOR.full_name].hold(read_object(body))
    except NOT_HELD:
        return None
    typed: Typed = message(**held)
    return typed
