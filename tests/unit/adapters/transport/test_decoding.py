"""What the decoder holds and bounds. What it does with whole replies is in the contract suite."""

import gzip
import zlib

import pytest

from router.adapters.transport.decoding import SLICE_BYTES_MAX, Decoder, Undecodable, decoder_for

TEXT = bytes(range(256)) * 3_000


def bare(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


def drained(decoder: Decoder) -> bytes:
    parts = []
    while decoder.pending:
        parts.append(decoder.take())
        assert len(parts[-1]) <= SLICE_BYTES_MAX
    return b"".join(parts)


@pytest.mark.parametrize(
    ("coding", "body"),
    [("gzip", gzip.compress(TEXT)), ("deflate", zlib.compress(TEXT)), ("deflate", bare(TEXT))],
    ids=["gzip", "zlib", "bare"],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_may_be_cut_anywhere(coding: str, body: bytes, size: int) -> None:
    decoder = Decoder(coding)
    text = b""
    for at in range(0, len(body), size):
        assert 0 == at or not decoder.ended
        decoder.put(body[at : at + size])
        text += drained(decoder)

    assert TEXT == text
    assert decoder.ended
    assert 0 == decoder.held_bytes


def test_what_the_decoder_itself_keeps_behind_a_full_slice_is_not_lost() -> None:
    for more in range(600):
        decoder = Decoder("deflate")
        decoder.put(bare(bytes(SLICE_BYTES_MAX + more)))

        assert SLICE_BYTES_MAX + more == len(drained(decoder))
        assert decoder.ended


def test_what_is_held_is_counted() -> None:
    body = gzip.compress(TEXT, compresslevel=0)
    decoder = Decoder("gzip")
    decoder.put(body)
    assert len(body) == decoder.held_bytes
    decoder.take()

    assert 0 < decoder.held_bytes < len(body)


def test_many_members_that_are_empty_are_decoded_a_few_at_a_time() -> None:
    decoder = Decoder("gzip")
    decoder.put(gzip.compress(b"") * 1_000)

    assert b"" == decoder.take()
    assert decoder.pending
    assert b"" == drained(decoder)
    assert decoder.ended


def test_bytes_that_are_something_else_are_told_by_what_they_claim_to_be() -> None:
    decoder = Decoder("gzip")
    decoder.put(b"no")

    with pytest.raises(Undecodable, match="sent a reply that is not the gzip it says it is"):
        decoder.take()


@pytest.mark.parametrize(
    ("codings", "known"),
    [([b"gzip"], True), ([b" X-GZIP "], True), ([b"deflate"], True), ([b"br"], False), ([b"gzip", b"gzip"], False)],
)
def test_what_we_know_is_decoded_and_nothing_twice(codings: list[bytes], known: bool) -> None:
    assert known is (decoder_for(codings) is not None)
