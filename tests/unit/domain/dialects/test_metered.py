"""What a request on a metered route may use, what it is taken to, and what is read of it."""

import json

import pytest

from router.domain.dialects.dialect import Grammar
from router.domain.dialects.metered import (
    EDITS,
    GENERATIONS,
    MODERATIONS,
    RERANK,
    SPEECH,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    guess_of,
    images_in,
    read_metered,
    units_max,
)
from router.domain.dialects.request import Request, upstream_body
from router.domain.faults import Fault, Refusal
from router.domain.stream import ReplyMode
from router.domain.units import NO_UNITS, PIECES_MAX, Units
from tests.support.forms import CONTENT_TYPE, Part, form

FORM = CONTENT_TYPE.encode()


def read(grammar: Grammar, **members: object) -> Request:
    found = read_metered(grammar, b"application/json", json.dumps({"model": "m", **members}).encode())
    assert isinstance(found, Request), found
    return found


def read_form(grammar: Grammar, *parts: Part) -> Request:
    found = read_metered(grammar, FORM, form(("model", "m"), *parts))
    assert isinstance(found, Request), found
    return found


def refused(grammar: Grammar, *parts: Part) -> Refusal:
    found = read_metered(grammar, FORM, form(*parts))
    assert isinstance(found, Refusal)
    return found


@pytest.mark.parametrize(
    ("members", "most", "guess"),
    [
        ({}, Units(images=1), Units(images=1, image_quality="", image_size="")),
        ({"n": 3, "size": "auto"}, Units(images=3), Units(images=3, image_quality="")),
        ({"n": "3"}, Units(images=3), Units(images=3, image_quality="", image_size="")),
        ({"n": 0}, Units(images=1), Units(images=1, image_quality="", image_size="")),
        ({"n": 10**20}, Units(images=PIECES_MAX), Units(images=PIECES_MAX, image_quality="", image_size="")),
        ({"quality": "hd", "size": "s"},) + (Units(images=1, image_quality="hd", image_size="s"),) * 2,
    ],
)
def test_images_are_as_many_as_were_asked_for(members: dict[str, object], most: Units, guess: Units) -> None:
    request = read(GENERATIONS, prompt="a", **members)

    assert (most, guess) == (units_max(request), guess_of(request).units)


def test_what_is_spoken_is_counted_in_characters_not_in_bytes() -> None:
    request = read(SPEECH, input="h\u00e9\U0001f600", voice="v")

    assert units_max(request) == guess_of(request).units == Units(characters=3)
    assert ReplyMode.UNARY is request.mode
    assert ReplyMode.STREAM is read(SPEECH, input="a", stream_format="sse").mode


@pytest.mark.parametrize("grammar", [TRANSCRIPTIONS, TRANSLATIONS])
def test_a_sound_is_bounded_by_its_bytes(grammar: Grammar) -> None:
    request = read_form(grammar, ("file", bytes(4_001)))

    assert Units(audio_ms=8_002) == units_max(request)
    assert Units(audio_ms=1_001) == guess_of(request).units
    assert units_max(read(grammar, url="https://x")) is None


@pytest.mark.parametrize(
    ("documents", "most"),
    [(["a"], 1), (["a"] * 95, 1), (["a"] * 101, 2), (["a" * 25_000], 2), ("text", 1)],
)
def test_a_rerank_is_as_many_searches_as_its_documents_have_hundreds_of_pieces(documents: object, most: int) -> None:
    request = read(RERANK, query="q", documents=documents)

    assert (Units(queries=most), Units(queries=1)) == (units_max(request), guess_of(request).units)


def test_a_moderation_uses_tokens_alone_and_may_leave_its_model_to_us() -> None:
    request = read_metered(MODERATIONS, b"application/json", b'{"input":"a"}')

    assert isinstance(request, Request)
    assert ("", NO_UNITS) == (request.model, units_max(request))
    assert {"input": "a", "model": "up"} == json.loads(upstream_body(request, "up"))
    assert isinstance(read_metered(MODERATIONS, b"application/json", b'{"input":"a","model":""}'), Refusal)


def test_a_form_is_read_as_json_is_and_sent_on_as_it_came() -> None:
    request = read_form(TRANSCRIPTIONS, ("stream", "true"), ("prompt", "hi"), ("file", b"\x00\xff"))

    assert ("m", ReplyMode.STREAM, True) == (request.model, request.mode, request.size < 40)
    assert form(("model", "up"), ("stream", "true"), ("prompt", "hi"), ("file", b"\x00\xff")) == upstream_body(
        request, "up"
    )


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([("file", b"x")], "model"),
        ([("model", ""), ("file", b"x")], "model"),
        ([("model", "m"), ("api_key", "k")], "api_key"),
        ([("model", "m"), ("fallbacks", "k")], "fallbacks"),
        ([("model", "m"), ("stream", "perhaps")], "stream"),
    ],
)
def test_a_form_has_to_keep_to_the_same_rules(parts: list[Part], param: str) -> None:
    refusal = refused(TRANSCRIPTIONS, *parts)

    assert (param, True) == (
        refusal.param,
        refusal.fault in (Fault.INVALID_REQUEST, Fault.UNSUPPORTED_PARAMETER),
    )


def test_images_that_are_sent_are_counted_wherever_they_are() -> None:
    assert 3 == images_in(read_form(EDITS, ("prompt", "a"), ("image[]", b"x"), ("image[]", b"x"), ("mask", b"x")))
    assert 3 == images_in(read(EDITS, prompt="a", images=[{"image_url": "x"}] * 2, mask={"file_id": "f"}))
    assert 0 == images_in(read(SPEECH, input="a", image="x"))
