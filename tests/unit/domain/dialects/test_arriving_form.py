"""A form that is read while it comes goes on as the same bytes, and never with a field that was not judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.dialects.arriving_form import (
    ENDING_BYTES_MAX,
    OPENING_BYTES_MAX,
    Ending,
    Opening,
    Sight,
    read_opening,
)
from router.domain.dialects.form import PART_HEAD_BYTES_MAX, PARTS_MAX, Form, read_form
from router.domain.faults import Refusal
from tests.support.forms import BOUNDARY, CONTENT_TYPE, Part, form

TYPE = CONTENT_TYPE.encode()
BARRED = frozenset(("stream", "api_base"))
MODEL: Part = ("model", "m")
FILE: Part = ("file", b"sound")


def opening(body: bytes, *, length: int | None = None, content_type: bytes = TYPE) -> Opening | Sight:
    return read_opening(content_type, body, length=len(body) if length is None else length, barred=BARRED)


def opened(body: bytes) -> Opening:
    found = opening(body)
    assert isinstance(found, Opening), found
    return found


def passed(ending: Ending, *pieces: bytes) -> bytes | Refusal:
    gone = b""
    for piece in pieces:
        taken = ending.take(piece)
        if isinstance(taken, Refusal):
            return taken
        gone += taken
    end = ending.close()
    return end if isinstance(end, Refusal) else gone + end


def why(*parts: Part, body: bytes | None = None) -> tuple[str, str | None]:
    found = opened(form(*parts) if body is None else body)
    refusal = passed(found.ending, found.first)
    assert isinstance(refusal, Refusal), refusal
    return refusal.message, refusal.param


def test_the_call_is_known_as_soon_as_the_file_begins() -> None:
    body = form(MODEL, ("language", "de"), FILE)
    start = body.index(b"sound")
    found = read_opening(TYPE, body[:start], length=len(body), barred=BARRED)

    assert isinstance(found, Opening)
    assert ({"model": "m", "language": "de"}, (len(body) - start,), b"") == (
        found.form.texts,
        found.form.files,
        found.first,
    )
    assert body[:start].replace(b"\r\nm\r\n", b"\r\nup\r\n") == found.form.named("up")
    assert all(opening(body[:at], length=len(body)) is Sight.NOT_YET for at in range(start))


@given(
    st.lists(st.tuples(st.sampled_from(["n[]", "o[]"]), st.text(max_size=9)), max_size=3),
    st.binary(max_size=300) | st.just(f"\r\n--{BOUNDARY[:-1]}".encode() * 3),
    st.lists(st.tuples(st.sampled_from(["p[]", "n[]"]), st.text(max_size=9)), max_size=3),
    st.lists(st.integers(0, 1_000), max_size=6),
)
def test_what_goes_on_is_what_came_however_it_was_cut(
    before: list[Part], sound: bytes, after: list[Part], at: list[int]
) -> None:
    body = form(*before, MODEL, ("file", sound), *after)
    whole = read_form(TYPE, body)
    assert isinstance(whole, Form)
    found = opened(body)
    cuts = sorted(min(one, len(found.first)) for one in at)
    pieces = [found.first[start:end] for start, end in zip([0, *cuts], [*cuts, len(found.first)], strict=True)]
    rest = passed(found.ending, *pieces)

    assert isinstance(rest, bytes)
    assert whole.named("up") == found.form.named("up") + rest
    assert whole.files == (found.ending.file_bytes,)
    assert found.form.files[0] >= len(sound)


def test_nothing_after_the_file_goes_on_before_all_of_it_is_here() -> None:
    found = opened(form(MODEL, FILE, ("prompt", "x")))

    assert [b"sound", b""] == [found.ending.take(found.first[:-1]), found.ending.take(found.first[-1:])]


@pytest.mark.parametrize(
    "body",
    [
        form(FILE, MODEL),
        form(("model", b"m"), FILE),
        form(MODEL, MODEL, FILE),
        b"x" + form(MODEL, FILE),
        form(("n", "1"), ("n", "1"), MODEL, FILE),
        form(*[("n[]", "1")] * PARTS_MAX, MODEL, FILE),
        form(("x", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), FILE),
        form(MODEL).replace(b"form-data;", b"form-data; name*=x;") + b"x" * 99,
        form(MODEL, ("prompt", "x" * OPENING_BYTES_MAX), FILE),
        form(MODEL, ("prompt", "x" * (OPENING_BYTES_MAX + 1)))[:-60],
        f"--{BOUNDARY}\r\nx: {'y' * PART_HEAD_BYTES_MAX}".encode(),
        f"--{BOUNDARY}xy\r\n\r\n".encode(),
    ],
)
def test_what_is_to_be_read_as_a_whole_is_told_apart(body: bytes) -> None:
    assert opening(body) is Sight.NEVER


def test_a_form_without_a_boundary_is_never_passed_on() -> None:
    assert opening(form(MODEL, FILE), content_type=b"multipart/form-data") is Sight.NEVER


def test_text_that_is_not_utf_8_is_left_to_who_reads_it_whole() -> None:
    assert opening(form(MODEL, ("x", "?"), FILE).replace(b"?", b"\xff")) is Sight.NEVER


@pytest.mark.parametrize("name", sorted(BARRED))
def test_what_decides_may_not_come_late(name: str) -> None:
    message, param = why(MODEL, FILE, (name, "x"))

    assert f"`{name}` comes after a large file" in message
    assert name == param


def test_a_second_file_may_not_come() -> None:
    assert "file2" == why(MODEL, FILE, ("file2", b"x"))[1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form(MODEL, FILE)[: -len(f"--{BOUNDARY}--\r\n")], "no end"),
        (form(MODEL, FILE, ("a", "b"))[:-20], "no end"),
        (form(MODEL, FILE) + b"more", "follows its end"),
        (form(MODEL, FILE, ("model", "other")), "comes twice"),
        (form(MODEL, FILE, ("a", "1"), ("a", "2")), "comes twice"),
        (form(MODEL, FILE, ("a", "?")).replace(b"?", b"\xff"), "UTF-8"),
        (form(MODEL, FILE, ("a", "x" * ENDING_BYTES_MAX)), f"more than {ENDING_BYTES_MAX} bytes"),
        (form(MODEL, FILE).replace(b"\r\n--" + BOUNDARY.encode() + b"--", b"\r\n--" + BOUNDARY.encode()), "no head"),
    ],
)
def test_what_follows_the_file_must_be_plain(body: bytes, words: str) -> None:
    assert words in why(body=body)[0]


def test_so_much_text_as_is_allowed_late_is_said_by_the_form() -> None:
    assert ENDING_BYTES_MAX == opened(form(MODEL, FILE)).form.late_bytes
