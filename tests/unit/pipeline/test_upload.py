"""What follows the opening of a body goes on as it comes, and again as long as it is kept."""

from collections.abc import AsyncGenerator
from typing import cast

import pytest

from router.domain.dialects.arriving_form import Opening, read_opening
from router.domain.faults import RouterError
from router.pipeline.upload import KEPT_BYTES_MAX, Upload
from tests.support.forms import CONTENT_TYPE, form


def coming(sound: bytes, *, step: int, cut: int = 0) -> tuple[Upload, bytes, list[int]]:
    """An upload of a form, its bytes, and the sizes of what has been asked for."""
    body = form(("model", "m"), ("file", sound))
    found = read_opening(CONTENT_TYPE.encode(), body[:300], length=len(body), barred=frozenset())
    assert isinstance(found, Opening)
    rest = body[300 : len(body) - cut]
    pieces = [rest[start : start + step] for start in range(0, len(rest), step)]
    asked: list[int] = []

    async def more() -> bytes:
        piece = pieces.pop(0) if pieces else b""
        asked.append(len(piece))
        return piece

    opening = len(found.form.body)
    return Upload(found.ending, found.first, more, length=len(body) - opening), body[opening:], asked


async def test_all_of_it_goes_on_and_then_it_is_whole() -> None:
    upload, body, _ = coming(b"sound" * 1_000, step=1_000)
    pieces = upload.pieces()
    first = await anext(pieces)

    assert (False, None) == (upload.whole, upload.file_bytes)
    assert body == first + b"".join([piece async for piece in pieces])
    assert (True, 5_000, len(body)) == (upload.whole, upload.file_bytes, upload.length)


async def test_it_is_asked_for_only_as_it_is_taken() -> None:
    upload, _, asked = coming(b"sound" * 1_000, step=1_000)
    pieces = upload.pieces()
    await anext(pieces)
    await anext(pieces)

    assert 1 == len(asked)


async def test_another_provider_gets_what_the_first_had_and_what_comes_after() -> None:
    upload, body, _ = coming(b"sound" * 1_000, step=1_000)
    pieces = cast(AsyncGenerator[bytes, None], upload.pieces())
    for _ in range(3):
        await anext(pieces)
    await pieces.aclose()

    assert upload.repeatable
    assert body == b"".join([piece async for piece in upload.pieces()])
    assert body == b"".join([piece async for piece in upload.pieces()])
    assert upload.whole


async def test_a_provider_that_is_sent_it_anew_does_not_have_it_yet() -> None:
    upload, _, _ = coming(b"sound" * 1_000, step=1_000)
    for _ in range(2):
        pieces = cast(AsyncGenerator[bytes, None], upload.pieces())
        await anext(pieces)
        assert not upload.whole
        await pieces.aclose()


async def test_who_was_given_the_last_of_it_may_have_all() -> None:
    """Whether it arrived nobody can know, and it may be billed."""
    upload, body, _ = coming(b"sound" * 1_000, step=1_000)
    pieces = upload.pieces()
    gone = b""
    while gone != body:
        assert not upload.whole
        gone += await anext(pieces)

    assert upload.whole
    await anext(upload.pieces())
    assert upload.whole


async def test_beyond_its_bound_nothing_is_kept() -> None:
    upload, body, _ = coming(bytes(KEPT_BYTES_MAX + 1), step=KEPT_BYTES_MAX // 4)

    assert body == b"".join([piece async for piece in upload.pieces()])
    assert not upload.repeatable
    assert not upload._kept


async def test_what_nobody_may_be_sent_ends_it_before_its_end() -> None:
    upload, body, _ = coming(b"sound" * 1_000, step=1_000, cut=9)
    gone: list[bytes] = []

    async def go() -> None:
        async for piece in upload.pieces():
            gone[:] = [*gone, piece]

    with pytest.raises(RouterError):
        await go()

    assert not upload.whole
    assert len(b"".join(gone)) < len(body) - 9
