"""What is put into a typed message comes back: 20,000 generated texts, each made from a seed that a failure names."""

import re
from random import Random  # noqa: TID251 - seeded, so every run is the same
from typing import Final

import pytest
from checkrein.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest
from checkrein.v1.embeddings_pb2 import EmbeddingsReply, EmbeddingsRequest
from google.protobuf.message import Message

from router.facades.grpc.decode import decoded
from router.facades.grpc.encode import encoded
from tests.support import typed_json
from tests.support.typed_json import SCHEMAS, Shape, Writer, read, same
from tests.support.typed_messages import fill

EACH: Final = 1_000
KINDS: Final[dict[str, tuple[type[Message], dict[str, Shape], str | None, int]]] = {
    "request": (ChatCompletionRequest, typed_json.REQUEST, "messages", 6),
    "reply": (ChatCompletion, typed_json.REPLY, "choices", 5),
    "chunk": (ChatCompletionChunk, typed_json.CHUNK, "choices", 5),
    "embeddings": (EmbeddingsRequest, typed_json.EMBEDDINGS, None, 2),
    "vectors": (EmbeddingsReply, typed_json.VECTORS, "data", 2),
}
HALF: Final = re.compile("[\ud800-\udfff]")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "share"), [(kind, share) for kind, one in KINDS.items() for share in range(one[3])])
def test_json_comes_back_from_a_typed_message(kind: str, share: int) -> None:
    for seed in range(share * EACH, (share + 1) * EACH):
        problem = _problem(kind, seed)
        assert problem is None, f"{kind}, seed {seed}: {problem}"


def _problem(kind: str, seed: int) -> str | None:
    """Say what is wrong with how one text goes through its message; None: nothing is."""
    message, shape, listed, _ = KINDS[kind]
    writer = Writer(seed)
    text = writer.document(shape)
    said = read(text)
    assert isinstance(said, dict)
    holdable = (listed is None or listed in said) and not HALF.search("".join(said))
    typed = encoded(message, text.encode())
    if (typed is not None) != holdable:
        return f"{'held' if typed else 'not held'}: {text}"
    if typed is None:
        return None
    back = decoded(message.FromString(typed.SerializeToString()))
    if not same(said, read(back)):
        return f"another value: {text}\n{back.decode()}"
    if typed != encoded(message, back):
        return f"another message: {text}\n{back.decode()}"
    if not writer.repeats and any(text.count(each) != back.decode().count(each) for each in SCHEMAS if len(each) > 9):
        return f"another schema: {text}\n{back.decode()}"
    return None


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_typed_message_comes_back_from_its_json(kind: str) -> None:
    message = KINDS[kind][0]
    for seed in range(EACH):
        typed = fill(message(), Random(seed))
        back = encoded(message, decoded(typed))
        assert typed == back, f"{kind}, seed {seed}: {decoded(typed).decode()}"
