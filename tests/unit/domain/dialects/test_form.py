"""A form is read as any other reader must read it, and only the model's name in it ever changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.dialects.form import LARGE_BYTES_MIN, PART_HEAD_BYTES_MAX, PARTS_MAX, Form, is_form, read_form
from router.domain.faults import Refusal
from tests.support.forms import BOUNDARY, CONTENT_TYPE, form

TYPE = CONTENT_TYPE.encode()


def read(body: bytes, content_type: bytes = TYPE) -> Form:
    found = read_form(content_type, body)
    assert isinstance(found, Form), found
    return found


def refused(body: bytes, content_type: bytes = TYPE) -> str:
    found = read_form(content_type, body)
    assert isinstance(found, Refusal)
    return found.message


def part(disposition: str, content: str = "x") -> bytes:
    return f"--{BOUNDARY}\r\n{disposition}\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n".encode()


def test_texts_and_files_are_told_apart() -> None:
    found = read(
        form(("model", "a"), ("file", b"\r\n--\r\n\x00"), ("n[]", "1"), ("n[]", "2"), ("empty", ""), ("e", b""))
    )

    assert {"model": "a", "n[]": "2", "empty": ""} == found.texts
    assert (7, 0) == found.files


@given(
    st.lists(st.tuples(st.from_regex(r"[a-z]{1,5}\[\]", fullmatch=True), st.text() | st.binary()), max_size=5),
    st.integers(0, 5),
    st.text(min_size=1),
)
def test_only_the_name_of_the_model_changes(parts: list[tuple[str, str | bytes]], at: int, model: str) -> None:
    def with_model(name: str) -> bytes:
        return form(*parts[:at], ("model", name), *parts[at:])

    assert with_model(model) == read(with_model("other")).named(model)


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("size", [LARGE_BYTES_MIN + by for by in range(-120, 1)])
def test_a_large_form_is_read_and_named_alike_wherever_its_boundaries_fall(size: int, after: bool) -> None:
    """What is searched and copied in windows: a boundary may lie across two of them."""
    model, file = ("model", "other"), ("file", bytes(size))
    parts = (file, model) if after else (model, file)
    body = form(*parts)
    found = read(body)

    assert ((size,), "other") == (found.files, found.texts["model"])
    assert body == found.named("other")
    assert body.replace(b"other", b"up") == found.named("up")


def test_a_large_form_without_an_end_is_refused() -> None:
    assert "no end" in refused(form(("model", "a"), ("file", bytes(3 * LARGE_BYTES_MIN)))[:-50])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ('form-data; name="model"', "model"),
        ("form-data; name=model", "model"),
        ('FORM-DATA;NAME="a\\"b"', 'a"b'),
        ('form-data; name="a;b"', "a;b"),
        ('form-data; x="; name=no"; name="yes"', "yes"),
    ],
)
def test_a_name_may_be_written_in_several_ways(written: str, name: str) -> None:
    assert {name: "x"} == read(part(f"content-disposition: {written}")).texts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"preamble\r\n" + form(("a", "b")),
        form(("a", "b"))[: -len(BOUNDARY)],
        form(("a", "b")) + b"after",
        form(("a", "b"), ("a", "c")),
        form(("model", b"x")),
        form(("a", "b")).replace(b'"a"', b'"a"; name="c"'),
        form(("a", "b")).replace(b"; name=", b"; name*="),
        form(("a", "b")).replace(b'name="a"', b""),
        form(("a", "b")).replace(b"Content-Disposition", b"Content-Other"),
        form(("a", "b")).replace(b"\r\n\r\n", b"\r\nContent-Disposition: form-data; name=z\r\n\r\n"),
        form(("a", "b")).replace(b"\r\n\r\n", b"\r\n continued\r\n\r\n"),
        form(("a", "b")).replace(b"\r\n\r\nb", b"\r\n\r\n\xff"),
        form(("a", "b")).replace(b"\r\nb\r\n", b"\r\nb\r\n--" + BOUNDARY.encode() + b"longer\r\n"),
        form(("a", "b")).replace(b'"a"', b'"a"' + b"; x=y" * PART_HEAD_BYTES_MAX),
        form(*[("a[]", "b")] * (PARTS_MAX + 1)),
        form(("a", "b"), ("c", "d")).replace(b"\r\nContent-Disposition", b"xxContent-Disposition"),
        part("content-disposition: form-data"),
        part("content-disposition: attachment; name=a"),
    ],
)
def test_what_two_readers_may_take_for_different_things_is_refused(body: bytes) -> None:
    assert "not a form that can be read" in refused(body)


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b'multipart/form-data; boundary=" "',
        b"multipart/form-data; boundary=" + b"a" * 71,
        b"multipart/form-data; boundary=a; boundary=b",
        b"multipart/form-data; boundary=\xe9",
        b"multipart/form-data boundary=a",
    ],
)
def test_a_boundary_has_to_be_named_once(content_type: bytes) -> None:
    assert "boundary" in refused(form(("a", "b")), content_type)


def test_as_many_parts_as_are_allowed_are_read() -> None:
    assert {"a[]": "b"} == read(form(*[("a[]", "b")] * PARTS_MAX)).texts


@pytest.mark.parametrize(
    ("content_type", "form_"),
    [(TYPE, True), (b"Multipart/Form-Data", True), (b"application/json", False), (b"multipart/mixed", False)],
)
def test_a_form_says_so(content_type: bytes, form_: bool) -> None:
    assert form_ is is_form(content_type)
