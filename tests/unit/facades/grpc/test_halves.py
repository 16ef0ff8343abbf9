import pytest
from msgspec import Raw

from router.domain.dialects.raw_json import UNREADABLE, encode
from router.facades.grpc.halves import read_object, read_value, restored


@pytest.mark.parametrize(
    "text",
    [
        rb'{"a":"\ud800"}',
        rb'{"a":"\uDC00x","b":1}',
        rb'{"a":"\ud83d\ud83d\ude00"}',
        rb'{"a":"\ud83d\u0041"}',
        rb'{"a":"\\\ud800\\ud800"}',
        rb'{"a":{"\udfff":["\udbff\\"]}}',
        rb'{"a":"\ud83d\ude00","b":"\\ud83d\n"}',
        r'{"a":"\uFFFF\uFDD0d800é\ud800"}'.encode(),
    ],
)
def test_halves_of_pairs_pass_as_they_came(text: bytes) -> None:
    assert text == restored(bytes(encode(read_object(text))))
    assert text == restored(bytes(read_value(text.decode())))


@pytest.mark.parametrize("name", [rb"\ud800", rb"a\udc00"])
def test_half_a_pair_in_the_name_of_a_member_is_not_read(name: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read_object(b'{"%b":1}' % name)


@pytest.mark.parametrize("text", [rb'{"a":"\ud8"}', b"[]", b"{", b"{}{}", b'{"a":NaN}', b"", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_not_read(text: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read_object(text)


@pytest.mark.parametrize("text", ["1},", "NaN", "", " ", "01", '"a', "[" * 100_000])
def test_what_is_no_json_is_not_read(text: str) -> None:
    with pytest.raises(UNREADABLE):
        read_value(text)


def test_of_a_member_that_comes_twice_the_last_counts() -> None:
    assert {"a": Raw(b"2")} == read_object(rb'{"a":1,"\u0061":2}')
