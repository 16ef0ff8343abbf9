from random import Random  # noqa: TID251 - seeded, so every run is the same

import pytest
from checkrein.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk
from checkrein.v1.embeddings_pb2 import EmbeddingsReply

from router.facades.grpc.decode import decoded
from router.facades.grpc.encode import chunk, completion, embeddings
from tests.support.typed_json import read, same

REPLY = (
    b'{"id":"1","object":"chat.completion","created":1767225600,"model":"up","choices":[{"index":0,"message":{'
    b'"role":"assistant","content":"Hi","refusal":null},"finish_reason":"stop","logprobs":null}],'
    b'"usage":{ "prompt_tokens":3, "cost":1.0 },"provider":"here"}'
)
CHUNK = (
    b'{"id":"1","object":"chat.completion.chunk","created":1,"model":"up","choices":[{"index":0,'
    b'"delta":{"content":" a"},"logprobs":null,"finish_reason":null}]}'
)
CALL_CHUNK = (
    b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":'
    b'{"name":"f","arguments":"{\\"a\\":"}}]}}]}'
)


def test_a_reply_is_typed() -> None:
    assert completion(REPLY) == ChatCompletion(
        id="1",
        object="chat.completion",
        created=1767225600,
        model="up",
        choices=[
            {
                "index": 0,
                "message": {"role": "assistant", "content": {"text": "Hi"}, "extra_json": '{"refusal":null}'},
                "finish_reason": "stop",
                "extra_json": '{"logprobs":null}',
            }
        ],
        usage_json='{ "prompt_tokens":3, "cost":1.0 }',
        extra_json='{"provider":"here"}',
    )


def test_a_chunk_is_typed() -> None:
    assert chunk(CHUNK) == ChatCompletionChunk(
        id="1",
        object="chat.completion.chunk",
        created=1,
        model="up",
        choices=[{"index": 0, "delta": {"content": " a"}, "extra_json": '{"logprobs":null,"finish_reason":null}'}],
    )


def test_a_piece_of_a_call_is_typed() -> None:
    typed = chunk(CALL_CHUNK)

    assert typed is not None
    (call,) = typed.choices[0].delta.tool_calls
    assert (0, "call_1", "function", "f", '{"a":') == (
        call.index,
        call.id,
        call.type,
        call.function.name,
        call.function.arguments,
    )


def test_a_chunk_of_usage_alone_has_no_choices() -> None:
    typed = chunk(b'{"choices":[],"usage":{"total_tokens":3}}')

    assert ChatCompletionChunk(usage_json='{"total_tokens":3}') == typed


@pytest.mark.parametrize(
    ("vector", "field"), [(b"[0.1, -2, 0]", "floats"), (b"[]", "floats"), (b'"AACAPw=="', "base64"), (b"[1e400]", None)]
)
def test_a_vector_is_typed_as_it_was_asked_for(vector: bytes, field: str | None) -> None:
    typed = embeddings(b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":%b}]}' % vector)

    assert typed is not None
    assert field == typed.data[0].WhichOneof("vector")
    assert typed.data[0].extra_json == ("" if field else '{"embedding":[1e400]}')


def test_a_text_cut_within_a_surrogate_pair_stands_in_extra_json() -> None:
    typed = chunk(CHUNK.replace(b'" a"', rb'"a\ud83d"'))

    assert typed is not None
    (choice,) = typed.choices
    assert choice.delta.extra_json == r'{"content":"a\ud83d"}'
    assert typed.model == "up"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"[DONE]",
        b'{"id":"1"}',
        b'{"choices":[]',
        b'{"choices":[]}{}',
        b'{"choices":[],"a":NaN}',
        b'{"choices":[],"a":"\xff"}',
        b'{"choices":[],"a":"\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"choices":[]}',
        rb'{"choices":[],"\ud800":1}',
        b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"choices":' + b'[{"message":' * 100_000,
    ],
    ids=range(15),
)
def test_what_no_message_can_hold_is_sent_as_it_is(body: bytes) -> None:
    assert completion(body) is None
    assert chunk(body) is None
    assert embeddings(body) is None


def test_no_bytes_make_it_raise_and_what_they_say_is_held() -> None:
    held = 0
    for seed in range(3_000):
        chance = Random(seed)
        body = bytearray(chance.choice((REPLY, CHUNK, CALL_CHUNK)))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(body))
            body[at : at + chance.randrange(3)] = chance.choice(
                (b"", b"\xff", b"{", b"]", b'"', b"\\", b"\\ud800", b"9")
            )
        for typed in (completion(bytes(body)), chunk(bytes(body)), embeddings(bytes(body))):
            if typed is not None:
                held += 1
                assert same(read(bytes(body)), read(decoded(typed))), f"seed {seed}: {bytes(body)!r}"
    assert held > 500


def test_a_choice_that_is_no_object_stands_in_extra_json_with_all_others() -> None:
    body = b'{"choices":[{"index":0},null]}'
    typed = completion(body)

    assert ChatCompletion(extra_json=body.decode()) == typed


def test_a_list_that_must_be_there_may_be_anything_in_extra_json() -> None:
    assert EmbeddingsReply(extra_json='{"data":null}') == embeddings(b'{"data":null}')
    assert EmbeddingsReply() == embeddings(b'{"data":[]}')
    assert b'{"data":[]}' == decoded(EmbeddingsReply())
    assert b'{"data":null}' == decoded(EmbeddingsReply(extra_json='{"data":null}'))
