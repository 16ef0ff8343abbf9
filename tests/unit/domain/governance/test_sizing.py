"""What is held is never less than what is billed, what had to fit does, and the body says what was relied upon."""

import json
from collections.abc import Mapping
from typing import Final

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import CHAT
from router.domain.faults import Fault, Refusal
from router.domain.governance.budget import Amounts, BudgetMode
from router.domain.governance.input_bound import PartKind, bound_input
from router.domain.governance.output_estimate import top_up
from router.domain.governance.rate import costs_of
from router.domain.governance.sizing import (
    LOW_FUNDS_FACTOR,
    NO_ACCOUNT,
    OUTPUT_TOKENS_GUESS,
    OUTPUT_TOKENS_UNSAID,
    REPLY_TOKENS_MIN,
    Room,
    Sized,
    Terms,
    size_call,
)
from router.domain.ids import DeploymentId, ProviderId
from router.domain.money import NanoUsd
from router.domain.pricing import PriceCard, Rates, bill
from router.domain.stream import ReplyMode
from router.domain.usage import TOKENS_MAX, TokenUsage
from tests.support.asked import asked

MILLION: Final = 1_000_000
SECOND: Final = 10**9
STRICT: Final = Terms(mode=BudgetMode.STRICT)
CLAMPING: Final = Terms(mode=BudgetMode.STRICT, clamp=True)
QUANTILE: Final = Terms(mode=BudgetMode.QUANTILE)
AMPLE: Final = Room(usd=1_000 * SECOND)
STREAM, UNARY = ReplyMode.STREAM, ReplyMode.UNARY


def card(input_: int = 2_000, output: int = 10_000, written: int | None = None) -> PriceCard:
    """Nano-USD a token."""
    base = Rates(
        input=input_ * MILLION,
        cached_input=input_ * MILLION // 10,
        cache_write=(input_ if written is None else written) * MILLION,
        output=output * MILLION,
    )
    return PriceCard(version="test", base=base)


def deployment(
    price: PriceCard | None = None,
    *,
    output_max: int | None = None,
    window: int | None = None,
    field: str | None = None,
) -> Deployment:
    return Deployment(
        id=DeploymentId("d"),
        provider=ProviderId("p"),
        upstream_model="m",
        price=price,
        max_output_tokens=output_max,
        context_window=window,
        max_tokens_field=field,
        part_maxima={PartKind.AUDIO: 200},
    )


def asking(bound: int = 1_000, **members: object) -> dict[str, Raw]:
    """Make a request of just that input bound."""
    text = json.dumps({"messages": [{"role": "user", "content": ""}], **members})
    fields = msgspec.json.decode(text, type=dict[str, Raw])
    spare = bound_input(CHAT, fields, {})
    assert isinstance(spare, int)
    fields["messages"] = Raw(json.dumps([{"role": "user", "content": "x" * (bound - spare)}]).encode())
    assert bound == bound_input(CHAT, fields, {})
    return fields


def sized(
    fields: Mapping[str, Raw],
    at: Deployment,
    room: Room = AMPLE,
    terms: Terms = STRICT,
    *,
    mode: ReplyMode = UNARY,
    estimate: int | None = None,
    seconds: int = 600,
    assumed: PriceCard | None = None,
) -> Sized:
    duration_ns_max = seconds * SECOND
    answer = size_call(
        asked(fields, mode),
        at,
        room=room,
        terms=terms,
        estimate=estimate,
        duration_ns_max=duration_ns_max,
        assumed_price=assumed,
    )
    assert isinstance(answer, Sized), answer
    return answer


def refused(fields: Mapping[str, Raw], at: Deployment, room: Room, terms: Terms = STRICT) -> Refusal:
    answer = size_call(asked(fields), at, room=room, terms=terms, estimate=None, duration_ns_max=SECOND)
    assert isinstance(answer, Refusal), answer
    return answer


# --- how long a reply may get ---


def test_with_5_cents_left_a_caller_who_names_no_maximum_gets_what_they_buy() -> None:
    answer = sized(asking(1_000), deployment(card()), Room(usd=50_000_000), mode=STREAM)

    assert ("max_completion_tokens", 4_800) == answer.write_max_tokens
    assert Amounts(usd=50_000_000, tokens=5_800, requests=1, seconds=600) == answer.amounts
    assert (4_800, 4_800) == (answer.output_tokens, answer.output_tokens_max)


def test_a_maximum_that_the_caller_names_is_held_and_its_bytes_are_left_alone() -> None:
    answer = sized(asking(1_000, max_tokens=9_800), deployment(card()))

    assert Amounts(usd=100_000_000, tokens=10_800, requests=1, seconds=600) == answer.amounts
    assert answer.write_max_tokens is None
    assert not answer.top_up


def test_each_choice_counts_and_what_is_written_is_for_one() -> None:
    assert 2_000_000 + 3 * 1_000_000 == sized(asking(max_tokens=100, n=3), deployment(card())).amounts.usd
    answer = sized(asking(n=3), deployment(card()), Room(usd=2_000_000 + 1_000 * 10_000))

    assert ("max_completion_tokens", 333) == answer.write_max_tokens
    assert 999 == answer.output_tokens == answer.output_tokens_max


def test_what_does_not_fit_and_may_not_be_clamped_is_held_in_full_so_that_the_account_refuses() -> None:
    answer = sized(asking(max_tokens=5_000), deployment(card()), Room(usd=50_000_000))

    assert 52_000_000 == answer.amounts.usd
    assert answer.write_max_tokens is None


def test_a_maximum_that_does_not_fit_is_lowered_where_the_key_allows_it() -> None:
    fields = asking(max_tokens=5_000)

    assert ("max_tokens", 4_800) == sized(fields, deployment(card()), Room(usd=50_000_000), CLAMPING).write_max_tokens
    assert sized(fields, deployment(card()), Room(usd=52_000_000), CLAMPING).write_max_tokens is None


@pytest.mark.parametrize(("fits", "said", "written"), [(64, 65, 64), (63, 65, None), (9, 10, None), (10, 10, None)])
def test_a_maximum_is_not_lowered_to_less_than_64(fits: int, said: int, written: int | None) -> None:
    room = Room(usd=2_000_000 + fits * 10_000)
    answer = sized(asking(max_tokens=said), deployment(card()), room, CLAMPING)

    assert (None if written is None else ("max_tokens", written)) == answer.write_max_tokens
    assert (written or said) == answer.output_tokens


@pytest.mark.parametrize(("fits", "held"), [(65, 65), (64, 64), (63, 64), (0, 64), (-50, 64)])
def test_less_than_64_are_never_offered_but_held_so_that_the_account_refuses(fits: int, held: int) -> None:
    room = Room(usd=2_000_000 + fits * 10_000)
    answer = sized(asking(), deployment(card()), room)

    assert ("max_completion_tokens", held) == answer.write_max_tokens
    assert (fits >= 64) == (answer.amounts.usd <= room.usd if room.usd is not None else True)


def test_a_deployment_of_short_replies_may_be_offered_less_than_64() -> None:
    at = deployment(card(), output_max=20)

    assert 20 == sized(asking(), at).output_tokens
    assert ("max_completion_tokens", 20) == sized(asking(), at, Room(usd=2_000_000)).write_max_tokens


def test_what_a_deployment_never_passes_needs_no_writing_while_it_fits() -> None:
    at = deployment(card(), output_max=4_000)

    assert (4_000, None) == (sized(asking(), at).output_tokens, sized(asking(), at).write_max_tokens)
    assert 4_000 == sized(asking(max_tokens=9_000), at).output_tokens
    assert ("max_completion_tokens", 3_999) == sized(asking(), at, Room(usd=41_999_999)).write_max_tokens
    assert sized(asking(), at, Room(usd=42_000_000)).write_max_tokens is None


def test_where_nobody_names_a_maximum_ours_is_written_only_if_an_account_counts_output() -> None:
    at = deployment(card())

    assert ("max_completion_tokens", OUTPUT_TOKENS_UNSAID) == sized(asking(), at).write_max_tokens
    assert ("max_completion_tokens", OUTPUT_TOKENS_UNSAID) == sized(asking(), at, Room(tokens=10**9)).write_max_tokens
    for free in (sized(asking(), at, NO_ACCOUNT), sized(asking(), deployment(card(output=0)), AMPLE)):
        assert (OUTPUT_TOKENS_UNSAID, None) == (free.output_tokens, free.write_max_tokens)
        assert free.output_tokens_max is None


def test_a_small_context_window_bounds_a_reply_and_a_large_one_does_not() -> None:
    small = sized(asking(), deployment(card(), window=OUTPUT_TOKENS_UNSAID))
    large = sized(asking(), deployment(card(), window=OUTPUT_TOKENS_UNSAID + 1))

    assert small.write_max_tokens is None
    assert ("max_completion_tokens", OUTPUT_TOKENS_UNSAID) == large.write_max_tokens


def test_of_two_accounts_the_tighter_counts() -> None:
    at = deployment(card())

    assert 500 == sized(asking(), at, Room(usd=10**12, tokens=1_500)).output_tokens
    assert 4_800 == sized(asking(), at, Room(usd=50_000_000, tokens=10**9)).output_tokens
    assert 500 == sized(asking(), deployment(None), Room(tokens=1_500)).output_tokens


def test_no_reply_is_longer_than_any_model_writes() -> None:
    answer = sized(asking(max_tokens=10**30, n=10**9), deployment(card()), NO_ACCOUNT)

    assert TOKENS_MAX == answer.output_tokens


# --- which member is written ---


@pytest.mark.parametrize(
    ("members", "field", "written"),
    [
        ({}, None, "max_completion_tokens"),
        ({"max_tokens": None}, None, "max_tokens"),
        ({"max_completion_tokens": None}, None, "max_completion_tokens"),
        ({"max_tokens": 0, "max_completion_tokens": None}, None, "max_completion_tokens"),
        ({}, "max_tokens", "max_tokens"),
        ({"max_completion_tokens": None}, "max_tokens", "max_tokens"),
        ({}, "num_predict", "num_predict"),
    ],
)
def test_the_member_is_the_deployments_else_the_callers_else_the_present_one(
    members: dict[str, object], field: str | None, written: str
) -> None:
    assert (written, OUTPUT_TOKENS_UNSAID) == sized(asking(**members), deployment(card(), field=field)).write_max_tokens


@pytest.mark.parametrize(
    ("members", "field", "written"),
    [
        ({"max_tokens": 90}, "max_tokens", None),
        ({"max_tokens": 90}, "max_completion_tokens", ("max_completion_tokens", 90)),
        ({"max_tokens": 90, "max_completion_tokens": 100}, "max_tokens", ("max_tokens", 100)),
        ({"max_tokens": 90, "max_completion_tokens": 100}, None, None),
    ],
)
def test_a_maximum_is_moved_to_where_the_deployment_looks_for_it(
    members: dict[str, object], field: str | None, written: tuple[str, int] | None
) -> None:
    at = deployment(card(), field=field)

    assert written == sized(asking(**members), at).write_max_tokens
    assert sized(asking(**members), at, NO_ACCOUNT).write_max_tokens is None


# --- what is held of it ---


def test_a_stream_holds_what_its_class_took_and_keeps_its_maximum() -> None:
    answer = sized(asking(max_tokens=5_000), deployment(card()), AMPLE, QUANTILE, mode=STREAM, estimate=300)

    assert Amounts(usd=5_000_000, tokens=1_300, requests=1, seconds=600) == answer.amounts
    assert (300, 5_000) == (answer.output_tokens, answer.output_tokens_max)
    assert answer.top_up
    assert answer.write_max_tokens is None
    assert Amounts(usd=2_560_000, tokens=256) == answer.extension(300, 256)


@pytest.mark.parametrize(
    ("terms", "mode", "estimate", "room"),
    [
        (STRICT, STREAM, 300, AMPLE),
        (QUANTILE, UNARY, 300, AMPLE),
        (QUANTILE, STREAM, None, AMPLE),
        (QUANTILE, STREAM, 5_000, AMPLE),
        (QUANTILE, STREAM, 5_001, AMPLE),
        (QUANTILE, STREAM, 300, NO_ACCOUNT),
        (QUANTILE, STREAM, 300, Room(usd=LOW_FUNDS_FACTOR * 5_000_000 - 1)),
        (QUANTILE, STREAM, 300, Room(usd=10**12, tokens=LOW_FUNDS_FACTOR * 1_300 - 1)),
    ],
)
def test_the_worst_case_is_held_where_a_top_up_could_not_help(
    terms: Terms, mode: ReplyMode, estimate: int | None, room: Room
) -> None:
    answer = sized(asking(max_tokens=5_000), deployment(card()), room, terms, mode=mode, estimate=estimate)

    assert (5_000, False) == (answer.output_tokens, answer.top_up)


@pytest.mark.parametrize("room", [Room(usd=LOW_FUNDS_FACTOR * 5_000_000), Room(tokens=LOW_FUNDS_FACTOR * 1_300)])
def test_funds_are_low_below_20_estimated_calls(room: Room) -> None:
    answer = sized(asking(max_tokens=5_000), deployment(card()), room, QUANTILE, mode=STREAM, estimate=300)

    assert (300, True) == (answer.output_tokens, answer.top_up)


def test_with_low_funds_and_no_maximum_a_stream_holds_all_that_it_may_use() -> None:
    room = Room(usd=50_000_000)
    answer = sized(asking(), deployment(card()), room, QUANTILE, mode=STREAM, estimate=300)

    assert (50_000_000, 4_800, False) == (answer.amounts.usd, answer.output_tokens, answer.top_up)


# --- rate limits ---


@pytest.mark.parametrize(
    ("members", "estimate", "output"),
    [
        ({"max_tokens": 9_000}, 300, 300),
        ({"max_tokens": 9_000}, None, OUTPUT_TOKENS_GUESS),
        ({"max_tokens": 200}, None, 200),
        ({"max_tokens": 200}, 300, 200),
        ({}, None, OUTPUT_TOKENS_GUESS),
    ],
)
def test_rate_limits_are_charged_what_is_expected_and_not_the_worst(
    members: dict[str, object], estimate: int | None, output: int
) -> None:
    for terms, mode in ((STRICT, UNARY), (QUANTILE, STREAM)):
        answer = sized(asking(1_000, **members), deployment(card()), terms=terms, mode=mode, estimate=estimate)

        assert costs_of(requests=1, input_tokens=250, output_tokens=output) == answer.costs


# --- prices ---


def test_the_price_of_the_request_and_of_its_seconds_is_held() -> None:
    price = PriceCard(version="test", base=card().base, per_request=NanoUsd(7), per_second=NanoUsd(5))
    answer = sized(asking(max_tokens=100), deployment(price), seconds=3)

    assert 3_000_000 + 7 + 15 == answer.amounts.usd
    assert 3 == answer.amounts.seconds


def test_the_input_is_held_at_the_price_of_being_cached_if_that_is_dearer() -> None:
    assert 2_500_000 + 1_000_000 == sized(asking(max_tokens=100), deployment(card(written=2_500))).amounts.usd


def test_a_model_without_a_price_is_refused_under_an_account_in_usd_and_only_there() -> None:
    fields, at = asking(max_tokens=100), deployment(None)

    assert Fault.PRICE_UNKNOWN is refused(fields, at, AMPLE).fault
    assert Amounts(usd=0, tokens=1_100, requests=1, seconds=600) == sized(fields, at, Room(tokens=9_999)).amounts
    assert 0 == sized(fields, at, NO_ACCOUNT, assumed=card()).amounts.usd


def test_a_model_without_a_price_may_be_taken_to_cost_the_dearest() -> None:
    assert 3_000_000 == sized(asking(max_tokens=100), deployment(None), assumed=card()).amounts.usd


@pytest.mark.parametrize("room", [AMPLE, Room(tokens=10**9)])
@pytest.mark.parametrize(
    ("part", "told"), [({"type": "image_url", "image_url": {"url": "u"}}, "an image"), ({"type": "canary"}, "neither")]
)
def test_an_image_that_nobody_can_bound_is_refused_under_an_account_and_served_without(
    part: dict[str, object], told: str, room: Room
) -> None:
    messages = [{"role": "user", "content": [part]}]
    fields = msgspec.json.decode(json.dumps({"messages": messages}), type=dict[str, Raw])
    refusal = refused(fields, deployment(card()), room)

    assert Fault.PRICE_UNKNOWN is refusal.fault
    assert told in refusal.message
    assert "canary" not in refusal.message
    assert len(json.dumps(messages)) * 2_000 == sized(fields, deployment(card(output=0)), NO_ACCOUNT).amounts.usd


def test_a_part_counts_as_the_deployment_declares() -> None:
    part = {"type": "input_audio", "input_audio": {"data": "A" * 9_000}}
    text = json.dumps({"messages": [{"role": "user", "content": [part]}], "max_tokens": 100})
    fields = msgspec.json.decode(text, type=dict[str, Raw])
    bound = bound_input(CHAT, fields, {PartKind.AUDIO: 200})
    assert isinstance(bound, int)

    assert bound + 100 == sized(fields, deployment(card())).amounts.tokens


# --- what holds for all of it ---

RATE = st.integers(0, 10**11)
RATES = st.builds(Rates, input=RATE, cached_input=RATE, cache_write=RATE, output=RATE)
CARDS = st.builds(
    PriceCard,
    version=st.just("test"),
    base=RATES,
    above=st.lists(st.tuples(st.integers(1, 3_000), RATES), max_size=3, unique_by=lambda tier: tier[0]).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier[0]))
    ),
    per_request=st.integers(0, 10**9).map(NanoUsd),
    per_second=st.integers(0, 10**7).map(NanoUsd),
)
BOUNDS = st.integers(200, 3_000)
MAXIMA = st.none() | st.integers(1, 6_000)
ROOMS = st.builds(Room, usd=st.none() | st.integers(-(10**9), 10**12), tokens=st.none() | st.integers(-10, 10**5))


@st.composite
def usages(draw: st.DrawFn, answer: Sized, input_max: int) -> TokenUsage:
    most = answer.output_tokens_max
    input_ = draw(st.integers(0, input_max) | st.just(input_max))
    cached = draw(st.integers(0, input_))
    written = draw(st.integers(0, input_ - cached) | st.just(input_ - cached))
    top = answer.output_tokens if most is None else most
    return TokenUsage(input=input_, cached_input=cached, cache_write=written, output=draw(st.integers(0, top)))


@given(
    st.data(), CARDS, BOUNDS, MAXIMA, MAXIMA, st.integers(1, 4), ROOMS, st.booleans(), st.sampled_from(BudgetMode),
    st.sampled_from(ReplyMode), MAXIMA,
)  # fmt: skip
def test_held_and_topped_up_is_at_least_billed_whatever_the_usage_within_its_bounds(
    data: st.DataObject, price: PriceCard, bound: int, said: int | None, own: int | None, choices: int, room: Room,
    clamp: bool, budget_mode: BudgetMode, mode: ReplyMode, estimate: int | None,
) -> None:  # fmt: skip
    at, terms = deployment(price, output_max=own), Terms(mode=budget_mode, clamp=clamp)
    answer = sized(asking(bound, max_tokens=said, n=choices), at, room, terms, mode=mode, estimate=estimate, seconds=7)
    usage = data.draw(usages(answer, bound))
    held, amounts, most = answer.output_tokens, answer.amounts, answer.output_tokens_max or 0
    while answer.top_up and (more := top_up(usage.output, held, most)):
        amounts, held = amounts.plus(answer.extension(held, more)), held + more

    assert bill(usage, price, data.draw(st.integers(0, 7 * SECOND))) <= amounts.usd
    assert usage.input + usage.output <= amounts.tokens
    assert usage.output <= held <= max(most, answer.output_tokens)
    assert answer.top_up == (answer.output_tokens_max is not None and answer.output_tokens < most)
    assert sized(asking(bound, max_tokens=held), deployment(price), seconds=7).amounts == amounts


@given(CARDS, BOUNDS, MAXIMA, MAXIMA, st.integers(1, 4), ROOMS, st.sampled_from(BudgetMode), MAXIMA)
@example(card(), 1_000, None, None, 1, Room(usd=50_000_000), BudgetMode.STRICT, None)
def test_what_was_fitted_fits_and_one_token_more_would_not(
    price: PriceCard, bound: int, said: int | None, own: int | None, choices: int, room: Room, budget_mode: BudgetMode,
    estimate: int | None,
) -> None:  # fmt: skip
    at, terms = deployment(price, output_max=own), Terms(mode=budget_mode, clamp=True)
    fields = asking(bound, max_tokens=said, n=choices)
    answer = sized(fields, at, room, terms, mode=STREAM, estimate=estimate)
    assume(answer.output_tokens_max is not None)
    whole = answer.amounts.plus(answer.extension(answer.output_tokens, answer.output_tokens_max - answer.output_tokens))
    unfitted = sized(fields, at, Room(usd=10**30), STRICT).output_tokens

    if answer.output_tokens_max < unfitted and answer.write_max_tokens[1] > REPLY_TOKENS_MIN:
        assert fits(whole, room)
    if fits(whole, room) and answer.output_tokens_max < unfitted:
        assert not fits(whole.plus(answer.extension(answer.output_tokens_max, choices)), room)
    if budget_mode is BudgetMode.STRICT:
        assert whole == answer.amounts


def fits(amounts: Amounts, room: Room) -> bool:
    return (room.usd is None or amounts.usd <= room.usd) and (room.tokens is None or amounts.tokens <= room.tokens)
