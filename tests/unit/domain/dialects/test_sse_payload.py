import json

import msgspec
import pytest
from msgspec import Raw

from router.domain.dialects.raw_json import UNREADABLE, joined, unmarked
from router.domain.dialects.sse_payload import payload_of, read, read_reply

DECODER = msgspec.json.Decoder(dict[str, str])
FIELDS = msgspec.json.Decoder(dict[str, Raw])


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (b'data: {"a":1}\n\n', b' {"a":1}'),
        (b'event: x\ndata: {"a":1}\n\n', b' {"a":1}'),
        (b'event: x\ndata:{"a":1}\n\n', b'{"a":1}'),
        (b"event: x\ndata:1\nid: 2\n\n", b"1"),
        (b'event: x\ndata: {\ndata: "a":1}\n\n', b' {\n "a":1}'),
        (b'data: {\ndata: "a":1}\n\n', b' {\n "a":1}'),
        (b"event: x\n\n", b""),
        (b": comment\n\n", b""),
        (b'event: data: x\ndata: "data:"\n\n', b' "data:"'),
    ],
)
def test_the_data_of_an_event_is_found(raw: bytes, payload: bytes) -> None:
    assert payload == bytes(payload_of(raw)).rstrip()


def test_half_a_pair_meets_its_other_half() -> None:
    first = read(FIELDS, b'{"x":"a\\ud83d"}')["x"]
    second = read(FIELDS, b'{"x":"\\ude00\\uD83D\\uDE00 \\\\ud83d"}')["x"]
    text = unmarked(bytes(joined([first, second])))

    assert b'"a\\ud83d\\ude00\\uD83D\\uDE00 \\\\ud83d"' == text
    assert "a\U0001f600\U0001f600 \\ud83d" == json.loads(text)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"a":1}', b'{"a":"\xff"}', b'{"a":"\\ud83d"', b"[" * 100_000])
def test_what_is_not_of_the_shape_is_an_error(payload: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read(DECODER, payload)
    with pytest.raises(ValueError, match="dialect"):
        read_reply(DECODER, payload)
