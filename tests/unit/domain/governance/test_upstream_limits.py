"""A provider's word on its limits is read in every dialect, never breaks a reply, and says when a call may go."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.governance.rate import Costs, Unit, costs_of
from router.domain.governance.upstream_limits import (
    _PLACES,
    SPAN_NS_MAX,
    UNKNOWN,
    Allowance,
    Known,
    Left,
    UpstreamLimits,
    UpstreamState,
    blocked_ns,
    left,
    merge,
    read_retry_after_ns,
    read_upstream_limits,
    tells_limits,
    wait_ns,
)

SECOND: Final = 10**9
MS: Final = 10**6
WALL: Final = 1_709_251_200 * SECOND  # 2024-03-01T00:00:00Z
ONE: Final = costs_of(requests=1, input_tokens=1, output_tokens=1)


def read(headers: dict[str, str]) -> UpstreamLimits:
    said = read_upstream_limits([(name.encode(), value.encode()) for name, value in headers.items()], WALL)
    assert said is not None
    return said


def reset(value: str) -> int | None:
    said = read({"x-ratelimit-limit-tokens": "1", "x-ratelimit-reset-tokens": value})
    return said.allowances[Unit.TOKENS].reset_ns


def learned(now: int, **headers: str) -> UpstreamState:
    return merge(UNKNOWN, read({name.replace("_", "-"): value for name, value in headers.items()}), now)


def tokens(count: int) -> Costs:
    return costs_of(requests=1, input_tokens=0, output_tokens=count)


def test_openais_headers_are_read() -> None:
    assert UpstreamLimits(
        {
            Unit.REQUESTS: Allowance(limit=60, remaining=59, reset_ns=SECOND),
            Unit.TOKENS: Allowance(limit=150_000, remaining=149_984, reset_ns=360 * SECOND),
        }
    ) == read(
        {
            "content-type": "application/json",
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-reset-tokens": "6m0s",
        }
    )


def test_anthropics_headers_are_read() -> None:
    kinds = {
        "requests": Unit.REQUESTS,
        "tokens": Unit.TOKENS,
        "input-tokens": Unit.INPUT_TOKENS,
        "output-tokens": Unit.OUTPUT_TOKENS,
    }
    headers = {
        f"anthropic-ratelimit-{kind}-{field}": value
        for kind in kinds
        for field, value in (("limit", "50"), ("remaining", "7"), ("reset", "2024-03-01T00:00:30Z"))
    }

    assert UpstreamLimits(
        dict.fromkeys(kinds.values(), Allowance(limit=50, remaining=7, reset_ns=30 * SECOND)), 12 * SECOND
    ) == read({**headers, "retry-after": "12"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("13ms", 13 * MS),
        ("7.66s", 7_660 * MS),
        ("2m59.56s", 179_560 * MS),
        ("1h2m3s", 3_723 * SECOND),
        ("1d", 86_400 * SECOND),
        ("850µs", 850_000),
        ("0s", 0),
        ("1.0000000001s", SECOND),
        ("1.5ns", 2),
        ("30", 30 * SECOND),
        ("0.5", SECOND // 2),
        ("9999999h", SPAN_NS_MAX),
        ("2024-03-01T00:00:01.25Z", 1_250 * MS),
        ("2024-03-01T01:00:01+01:00", SECOND),
        ("2024-03-01T00:00:01", SECOND),
        ("2024-02-29T23:59:59Z", 0),
        ("9999-12-31T23:59:59Z", SPAN_NS_MAX),
        ("1709251260", None),  # a timestamp, and whoever sends it means seconds or milliseconds
        ("1s!", None),
        ("s", None),
        ("-1s", None),
        ("NaN", None),
        ("1e309", None),
        ("2024-13-01T00:00:00Z", None),
        ("1h" * 40, None),
        ("", None),
    ],
)
def test_a_reset_is_read_to_the_nanosecond_or_not_at_all(value: str, expected: int | None) -> None:
    assert expected == reset(value)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({b"retry-after": b"2"}, 2 * SECOND),
        ({b"retry-after": b"0.25"}, 250 * MS),
        ({b"retry-after-ms": b"1500"}, 1_500 * MS),
        ({b"retry-after-ms": b"20", b"retry-after": b"1"}, 20 * MS),
        ({b"retry-after-ms": b"soon", b"retry-after": b"1"}, SECOND),
        ({b"retry-after": b"Fri, 01 Mar 2024 00:01:00 GMT"}, 60 * SECOND),
        ({b"retry-after": b"Thu, 29 Feb 2024 00:01:00 GMT"}, 0),
        ({b"retry-after": b"Fri, 31 Dec 9999 23:59:60 GMT"}, SPAN_NS_MAX),
        ({b"retry-after": b"999999999999"}, SPAN_NS_MAX),
        ({b"retry-after-ms": b"999999999999"}, SPAN_NS_MAX),
        ({b"retry-after": b"Fri, 32 Mar 2024 00:01:00 GMT"}, None),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"NaN"}, None),
        ({b"retry-after": b"1e309"}, None),
        ({b"retry-after": b"9" * 400}, None),
        ({b"retry-after": b"retry-after"}, None),
        ({}, None),
    ],
)
def test_a_retry_after_is_read_in_every_form_and_nonsense_is_not(
    headers: dict[bytes, bytes], expected: int | None
) -> None:
    assert expected == read_retry_after_ns(headers, WALL)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*_PLACES, b"retry-after", b"retry-after-ms"]),
            st.binary(max_size=80)
            | st.from_regex(rb"[0-9]{1,25}(\.[0-9]{0,12})?(ms|s|m|h|d|ns|us)?", fullmatch=True)
            | st.datetimes().map(lambda moment: moment.isoformat().encode()),
        )
    ),
    st.integers(0, 2**62),
)
def test_no_header_raises_or_names_a_time_out_of_bounds(headers: list[tuple[bytes, bytes]], wall_ns: int) -> None:
    said = read_upstream_limits(headers, wall_ns)
    if said is not None:
        spans = [said.retry_after_ns, *(allowance.reset_ns for allowance in said.allowances.values())]

        assert all(span is None or 0 <= span <= SPAN_NS_MAX for span in spans)
        assert 0 <= wait_ns(merge(UNKNOWN, said, 9), ONE, 9) <= SPAN_NS_MAX


@given(st.timedeltas(timedelta(0), timedelta(days=6)))
def test_an_http_date_is_so_far_away_as_it_says(span: timedelta) -> None:
    moment = datetime(2024, 3, 1, tzinfo=UTC) + timedelta(seconds=int(span.total_seconds()))
    date = moment.strftime("%a, %d %b %Y %H:%M:%S GMT").encode()

    assert int(span.total_seconds()) * SECOND == read_retry_after_ns({b"retry-after": date}, WALL)


def test_a_reply_that_says_nothing_is_nothing() -> None:
    assert read_upstream_limits([(b"server", b"x"), (b"x-ratelimit-remaining-tokens", b"many")], WALL) is None
    assert read_upstream_limits([(b"x-ratelimit-remaining-tokens", b"9" * 9_999)], WALL) is None
    assert 0 == wait_ns(UNKNOWN, ONE, 5)


def test_a_call_goes_at_once_while_enough_is_left() -> None:
    state = learned(0, x_ratelimit_remaining_tokens="100", x_ratelimit_reset_tokens="1m")

    assert 0 == wait_ns(state, tokens(100), 0)
    assert 60 * SECOND == wait_ns(state, tokens(101), 0)
    assert 20 * SECOND == wait_ns(state, tokens(101), 40 * SECOND)
    assert 0 == wait_ns(state, tokens(101), 61 * SECOND)


def test_with_the_limit_known_only_what_is_missing_is_waited_for() -> None:
    state = learned(0, x_ratelimit_limit_tokens="600", x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="60s")

    assert 10 * SECOND == wait_ns(state, tokens(100), 0)
    assert 60 * SECOND == wait_ns(state, tokens(600), 0)
    assert 60 * SECOND == wait_ns(state, tokens(10**9), 0)
    assert 0 == wait_ns(state, tokens(0), 0)


def test_of_all_units_the_one_that_takes_longest_is_waited_for() -> None:
    state = learned(
        0,
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="5s",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="9s",
        retry_after="7",
    )

    assert 9 * SECOND == wait_ns(state, ONE, 0)
    assert 0 == wait_ns(state, ONE, 10 * SECOND)
    assert 7 * SECOND == wait_ns(state, costs_of(requests=1, input_tokens=0, output_tokens=0), 0)


def test_a_shorter_retry_after_never_shortens_a_longer_one_nor_does_silence() -> None:
    state = learned(0, retry_after="30")
    state = merge(state, read({"retry-after": "1"}), 10 * SECOND)
    state = merge(state, read({"x-ratelimit-remaining-requests": "9"}), 10 * SECOND)

    assert 20 * SECOND == wait_ns(state, ONE, 10 * SECOND)
    longer = merge(state, read({"retry-after": "60"}), 10 * SECOND)
    assert 60 * SECOND == wait_ns(longer, ONE, 10 * SECOND)


def test_the_latest_word_on_a_unit_holds_and_others_stay() -> None:
    state = learned(
        0,
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="50s",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="9s",
    )
    state = merge(state, read({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "40s"}), SECOND)

    assert 8 * SECOND == wait_ns(state, ONE, SECOND)


def test_an_empty_allowance_without_a_time_to_wait_for_is_the_providers_to_refuse() -> None:
    assert 0 == wait_ns(learned(0, x_ratelimit_remaining_requests="0"), ONE, 0)


@pytest.mark.parametrize("name", [*_PLACES, b"retry-after", b"retry-after-ms"])
def test_every_header_that_is_read_is_seen_at_a_glance(name: bytes) -> None:
    assert tells_limits([(b"date", b"x"), (name, b"1")])
    assert not tells_limits([(b"date", b"x"), (b"x-" + name, b"1")])


@pytest.mark.parametrize(
    ("allowance", "passed_s", "remaining", "reset_s"),
    [
        (Allowance(limit=600, remaining=0, reset_ns=60 * SECOND), 0, 0, 60),
        (Allowance(limit=600, remaining=0, reset_ns=60 * SECOND), 10, 100, 50),
        (Allowance(limit=600, remaining=300, reset_ns=60 * SECOND), 20, 400, 40),
        (Allowance(limit=600, remaining=0, reset_ns=60 * SECOND), 60, 600, 0),
        (Allowance(limit=600, remaining=0, reset_ns=60 * SECOND), 99, 600, 0),
        (Allowance(limit=600, remaining=700, reset_ns=60 * SECOND), 10, 700, 50),
        (Allowance(remaining=5, reset_ns=60 * SECOND), 10, 5, 50),
        (Allowance(remaining=5, reset_ns=60 * SECOND), 60, None, 0),
        (Allowance(limit=600, remaining=5), 10, 5, None),
        (Allowance(limit=600, reset_ns=60 * SECOND), 10, None, 50),
    ],
)
def test_what_is_left_grows_evenly_until_the_limit_is_full(
    allowance: Allowance, passed_s: int, remaining: int | None, reset_s: int | None
) -> None:
    state = UpstreamState({Unit.TOKENS: Known(allowance, 7)})
    passed_ns = passed_s * SECOND
    reset_ns = None if reset_s is None else reset_s * SECOND

    assert [Left(Unit.TOKENS, allowance.limit, remaining, reset_ns, passed_ns)] == left(state, 7 + passed_ns)


@given(st.integers(1, 1_000), st.integers(0, 1_000), st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_is_left_passes_at_once_and_one_more_waits(limit: int, taken: int, reset_ns: int, passed_ns: int) -> None:
    allowance = Allowance(limit=limit, remaining=max(limit - taken, 0), reset_ns=reset_ns)
    state = UpstreamState({Unit.TOKENS: Known(allowance, 0)})
    (standing,) = left(state, passed_ns)
    assert standing.remaining is not None

    assert 0 == wait_ns(state, tokens(standing.remaining), passed_ns)
    assert standing.remaining == limit or wait_ns(state, tokens(standing.remaining + 1), passed_ns) > 0


def test_a_wait_that_was_asked_for_runs_out() -> None:
    state = learned(5, retry_after="2")

    assert [2 * SECOND, SECOND, 0, 0] == [blocked_ns(state, 5 + second * SECOND) for second in (0, 1, 2, 3)]
    assert 0 == blocked_ns(UNKNOWN, 5)
    assert [] == left(state, 5)
