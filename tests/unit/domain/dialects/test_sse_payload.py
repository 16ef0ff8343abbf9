import msgspec
import pytest

from router.domain.dialects.sse_payload import payload_of, read_json

DECODER = msgspec.json.Decoder(dict[str, str])


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (b'data: {"a":1}\n\n', b' {"a":1}'),
        (b'event: x\ndata: {"a":1}\n\n', b' {"a":1}'),
        (b"event: x\ndata:1\nid: 2\n\n", b"1"),
        (b'event: x\ndata: {\ndata: "a":1}\n\n', b' {\n "a":1}'),
        (b"event: x\n\n", b""),
        (b'event: data: x\ndata: "data:"\n\n', b' "data:"'),
    ],
)
def test_the_data_of_an_event_is_found(raw: bytes, payload: bytes) -> None:
    assert payload == payload_of(raw)


def test_half_a_pair_is_replaced() -> None:
    assert {"a": "\ufffdx"} == read_json(DECODER, b'{"a":"\\ud83dx"}')


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"a":1}', b'{"a":"\xff"}', b'{"a":"\\ud83d"'])
def test_what_is_not_of_the_shape_is_an_error(payload: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(DECODER, payload)
