"""What is held for units is never less than what is billed, and who cannot be bounded is refused under a budget."""

import json

import msgspec
import pytest

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import Grammar
from router.domain.dialects.metered import EDITS, GENERATIONS, RERANK, SPEECH, TRANSCRIPTIONS, read_metered
from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal
from router.domain.governance.input_bound import PartKind
from router.domain.governance.sizing import NO_ACCOUNT, OUTPUT_TOKENS_UNSAID, Room, Sized
from router.domain.governance.unit_sizing import IMAGE_TOKENS_MAX, size_metered
from router.domain.ids import DeploymentId, ProviderId
from router.domain.pricing import PriceCard, Rates, UnitRates
from tests.support.forms import CONTENT_TYPE, Part, form

MILLION = 10**6
RICH = Room(usd=10**15)
NOTHING = Rates(input=0, cached_input=0, cache_write=0, output=0)
TOKENS = Rates(input=MILLION, cached_input=MILLION, cache_write=MILLION, output=10 * MILLION)


def at(rates: Rates = NOTHING, units: UnitRates | None = None, **more: object) -> Deployment:
    card = PriceCard(version="t", base=rates, units=units)
    return Deployment(
        id=DeploymentId("d"),
        provider=ProviderId("p"),
        upstream_model="m",
        **{"price": card, **more},  # type: ignore[arg-type]
    )


def asks(grammar: Grammar, **members: object) -> Request:
    found = read_metered(grammar, b"", json.dumps({"model": "m", **members}).encode())
    assert isinstance(found, Request), found
    return found


def sends(grammar: Grammar, *parts: Part) -> Request:
    found = read_metered(grammar, CONTENT_TYPE.encode(), form(("model", "m"), *parts))
    assert isinstance(found, Request), found
    return found


def sized(request: Request, deployment: Deployment, room: Room = RICH) -> Sized:
    found = size_metered(request, deployment, room=room, duration_ns_max=0)
    assert isinstance(found, Sized), found
    return found


def refusal(request: Request, deployment: Deployment, room: Room = RICH) -> Refusal:
    found = size_metered(request, deployment, room=room, duration_ns_max=0)
    assert isinstance(found, Refusal)
    return found


def input_of(request: Request, deployment: Deployment, room: Room = RICH) -> int:
    found = sized(request, deployment, room)
    return found.amounts.tokens - found.output_tokens


HEARD = sends(TRANSCRIPTIONS, ("file", bytes(500)))


@pytest.mark.parametrize(
    ("request_", "units", "usd"),
    [
        (asks(GENERATIONS, prompt="a", n=3), UnitRates(image=7 * MILLION), 21),
        (asks(SPEECH, input="abc"), UnitRates(character=7 * MILLION), 21),
        (HEARD, UnitRates(audio_ms=7 * MILLION), 7_000),
        (asks(RERANK, query="q", documents=["a"] * 150), UnitRates(query=7 * MILLION), 14),
    ],
)
def test_the_most_units_are_held(request_: Request, units: UnitRates, usd: int) -> None:
    assert usd == sized(request_, at(units=units)).amounts.usd


def test_tokens_of_each_image_are_held_where_they_are_paid_for() -> None:
    request = asks(GENERATIONS, prompt="a", n=2)
    plain = sized(request, at(TOKENS))

    assert 2 * IMAGE_TOKENS_MAX == plain.output_tokens
    assert plain.amounts.usd >= 2 * IMAGE_TOKENS_MAX * 10
    assert 2_000 == sized(request, at(TOKENS, max_output_tokens=1_000)).output_tokens
    assert OUTPUT_TOKENS_UNSAID == sized(asks(SPEECH, input="a"), at(TOKENS)).output_tokens
    assert 0 == sized(asks(RERANK, query="q"), at(TOKENS)).output_tokens
    assert 0 == sized(request, at(units=UnitRates(image=1))).output_tokens
    assert 0 < sized(request, at(units=UnitRates(image=1)), Room(usd=1, tokens=1)).output_tokens


def test_what_no_reply_bounds_is_not_cut_and_nothing_is_written() -> None:
    found = sized(asks(SPEECH, input="abc"), at(TOKENS))

    assert (None, None, False) == (found.output_tokens_max, found.write_max_tokens, found.top_up)


@pytest.mark.parametrize("request_", [HEARD, sends(EDITS, ("prompt", "a"), ("image", b"x"))])
def test_tokens_of_files_need_a_bound_where_they_are_paid_for(request_: Request) -> None:
    assert Fault.PRICE_UNKNOWN is refusal(request_, at(TOKENS)).fault
    assert 10_000 == input_of(request_, at(TOKENS, context_window=10_000))
    maxima = {PartKind.IMAGE: 5_000, PartKind.AUDIO: 5_000}
    assert 5_000 <= input_of(request_, at(TOKENS, part_maxima=maxima)) < 5_100
    assert input_of(request_, at(TOKENS), NO_ACCOUNT) < 100
    assert sized(request_, at(units=UnitRates(image=1, audio_ms=1))).amounts.usd


def test_without_a_price_a_budget_in_usd_refuses() -> None:
    request = asks(SPEECH, input="abc")

    assert Fault.PRICE_UNKNOWN is refusal(request, at(price=None)).fault
    assert Fault.PRICE_UNKNOWN is refusal(request, at(units=UnitRates(image=1))).fault
    assert Fault.PRICE_UNKNOWN is refusal(asks(TRANSCRIPTIONS, url="x"), at(units=UnitRates(audio_ms=1))).fault
    assert 0 == sized(request, at(price=None), NO_ACCOUNT).amounts.usd


def test_text_that_may_still_come_is_held_as_if_it_came() -> None:
    request = sends(TRANSCRIPTIONS, ("file", b"abc"))
    assert request.form is not None
    late = msgspec.structs.replace(request, form=msgspec.structs.replace(request.form, late_bytes=8_192))
    place = at(TOKENS, part_maxima={PartKind.AUDIO: 100})

    assert 8_192 == input_of(late, place) - input_of(request, place)
