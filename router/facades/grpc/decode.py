"""Write a typed request as the JSON that it stands for, which the pipeline reads as it reads every body.

What it refuses are messages that do not keep to the rules of chat.proto; what the members say, the pipeline judges.
"""

from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.embeddings_pb2 import EmbeddingsRequest
from google.protobuf.message import Message

from router.domain.dialects.raw_json import FALSE, NULL, TRUE, encode
from router.domain.faults import Fault, Refusal
from router.facades.grpc.halves import restored
from router.facades.grpc.kinds import Broken
from router.facades.grpc.table import OBJECTS


def chat_body(request: ChatCompletionRequest, *, stream: bool | None) -> bytes | Refusal:
    """Write a request of the method that streams, or of the one that does not; None: of one that takes both.

    Fields that are not known are refused, and forgotten by the message.
    """
    return _body(request, stream=stream)


def embeddings_body(request: EmbeddingsRequest) -> bytes | Refusal:
    return _body(request, stream=False)


def decoded(message: Message) -> bytes:
    """Return the JSON that a message of the table holds. Raises `Broken`."""
    return _written(_members(message))


def _body(request: Message, *, stream: bool | None) -> bytes | Refusal:
    if _knows_too_little(request):
        return _invalid(
            "The request has fields that this router does not know; it may be older than your client."
            " Put such members into `extra_json`."
        )
    try:
        members = _members(request)
        if stream and members.setdefault("stream", TRUE) != TRUE:
            raise Broken(
                "contradicts the method, which streams", "Leave it out, or call CreateChatCompletion", "stream"
            )
        if stream is False and members.get("stream", FALSE) not in (FALSE, NULL):
            raise Broken("contradicts the method, which does not stream", "Leave it out", "stream")
    except Broken as broken:
        return _invalid(f"`{broken.path}` {broken.problem}. {broken.remedy}.", broken.path)
    return _written(members)


def _knows_too_little(message: Message) -> bool:
    """Tell whether a member would be lost without a word."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    had_more: bool = message.ByteSize() != size
    return had_more


def _members(message: Message) -> dict[str, object]:
    return OBJECTS[message.DESCRIPTOR.full_name].write(message)


def _written(members: dict[str, object]) -> bytes:
    return restored(bytes(encode(members)))


def _invalid(message: str, param: str | None = None) -> Refusal:
    return Refusal(fault=Fault.INVALID_REQUEST, message=message, param=param)
