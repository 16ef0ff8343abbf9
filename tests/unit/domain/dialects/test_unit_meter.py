"""What a metered reply says that it used, and when one is whole."""

import json

import pytest

from router.domain.dialects.metered import Guess
from router.domain.dialects.unit_meter import UnitMeter
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import END_EVENT, Event, EventKind
from router.domain.units import NO_UNITS, PIECES_MAX, Units
from router.domain.usage import TOKENS_MAX, TokenUsage

IMAGES = Guess(Units(images=2, image_quality="", image_size=""), 9)
SOUND = Guess(Units(audio_ms=777), 9)
SEARCH = Guess(Units(queries=1), 9)


def heard(guess: Guess, **members: object) -> UnitMeter:
    meter = UnitMeter(guess=guess)
    meter.take([Event(EventKind.COMPLETE, json.dumps(members).encode())])
    return meter


def chunk(**members: object) -> Event:
    return Event(EventKind.CHUNK, b"data: " + json.dumps(members).encode() + b"\n\n")


@pytest.mark.parametrize(
    ("members", "usage", "units"),
    [
        ({"text": "a"}, TokenUsage(input=2, estimated=True), SOUND.units),
        ({"usage": {"type": "duration", "seconds": 3}}, TokenUsage(), Units(audio_ms=3_000)),
        ({"duration": "8.4701"}, TokenUsage(), Units(audio_ms=8_471)),
        ({"duration": 0.0001}, TokenUsage(), Units(audio_ms=1)),
        ({"duration": -1}, TokenUsage(input=2, estimated=True), SOUND.units),
        ({"duration": "long"}, TokenUsage(input=2, estimated=True), SOUND.units),
        ({"usage": {"input_tokens": 14, "output_tokens": 5}}, TokenUsage(input=14, output=5), SOUND.units),
        ({"usage": {"total_tokens": 12}}, TokenUsage(input=12), SOUND.units),
        ({"usage": {"total_tokens": TOKENS_MAX + 1}}, TokenUsage(input=TOKENS_MAX), SOUND.units),
        ({"usage": [1]}, TokenUsage(input=2, estimated=True), SOUND.units),
    ],
)  # fmt: skip
def test_sound_is_paid_for_in_what_its_provider_counts(
    members: dict[str, object], usage: TokenUsage, units: Units
) -> None:
    meter = heard(SOUND, **members)

    assert (usage, units, True) == (meter.measured(8), meter.units, meter.finished)


@pytest.mark.parametrize(
    ("members", "units"),
    [
        ({"data": [{}, {}, {}]}, Units(images=3, image_quality="", image_size="")),
        ({"data": [{}], "quality": "hd", "size": "s"}, Units(images=1, image_quality="hd", image_size="s")),
        ({"data": {}}, Units(images=0, image_quality="", image_size="")),
    ],
)
def test_images_are_counted_as_they_come(members: dict[str, object], units: Units) -> None:
    assert units == heard(IMAGES, **members).units


def test_an_image_is_of_the_kind_that_was_asked_for_whatever_the_reply_says() -> None:
    asked = Guess(Units(images=1, image_quality="low", image_size=None), 0)

    assert Units(images=1, image_quality="low", image_size="s") == heard(asked, data=[{}], quality="hd", size="s").units


@pytest.mark.parametrize(
    ("meta", "queries"),
    [
        ({"billed_units": {"search_units": 2}}, 2),
        ({"billed_units": {"search_units": 1.5}}, 2),
        ({"billed_units": {"search_units": 10**30}}, PIECES_MAX),
        ({"billed_units": None}, 1),
        ("meta", 1),
    ],
)
def test_searches_are_as_many_as_the_provider_bills(meta: object, queries: int) -> None:
    assert Units(queries=queries) == heard(SEARCH, meta=meta, results=[]).units


def test_bytes_are_real_at_once_and_whole_at_their_end() -> None:
    meter = UnitMeter(guess=SOUND)
    piece = Event(EventKind.BYTES, b'data: {"error":1}\n\n')

    assert [piece] == meter.take([piece])
    assert (True, False, None) == (meter.started, meter.finished, meter.failure)
    assert [END_EVENT] == meter.take([END_EVENT])
    assert (True, TokenUsage(input=1, output=9, estimated=True)) == (meter.finished, meter.measured(4))


def test_a_stream_is_whole_after_as_many_results_as_were_asked_for() -> None:
    meter = UnitMeter(guess=IMAGES)
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    meter.take([chunk(type="image_generation.partial_image")])
    assert (True, False) == (meter.started, meter.finished)
    meter.take([chunk(type="image_generation.completed", usage=usage), END_EVENT])
    assert (False, 1) == (meter.finished, meter.units.images)
    meter.take([chunk(type="image_generation.completed", usage=usage)])
    assert (True, 2, TokenUsage(input=2, output=4)) == (meter.finished, meter.units.images, meter.usage)


def test_an_error_ends_it() -> None:
    streamed = UnitMeter(guess=SOUND)
    passed = streamed.take([chunk(error={"code": "busy"})])

    assert ([], FailureKind.ERROR_EVENT) == (passed, streamed.failure and streamed.failure.kind)
    whole = heard(SOUND, error={"code": "busy"})
    assert (False, FailureKind.ERROR_EVENT) == (whole.started, whole.failure and whole.failure.kind)


def test_nothing_is_written_to_end_what_has_no_bound() -> None:
    assert [] == UnitMeter().cut()
    assert NO_UNITS == UnitMeter().units
