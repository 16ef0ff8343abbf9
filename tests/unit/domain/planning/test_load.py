"""Load is counted once whatever ends a call, and what it says of a target follows what the target did."""

from random import Random  # noqa: TID251 - seeded, so every run is the same

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.catalog import Deployment, Model, Strategy, Substitute
from router.domain.ids import DeploymentId, ModelName, ProviderId, TargetId
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.planning.load import (
    DRAIN_NS_MAX,
    FAILURE_NS,
    P95_SAMPLES_MIN,
    PEAK_DECAY_NS,
    TOKENS_PER_S_MAX,
    TOKENS_PER_S_MIN,
    Loads,
    watched,
)

TARGET = TargetId("mock/a")
LATER = 1_000 * NS_PER_S


def test_a_call_is_under_way_until_it_ended_and_waits_until_its_first_token() -> None:
    loads = Loads()
    call = loads.started(TARGET, 100, LATER)
    load = loads[TARGET]
    assert (1, 1) == (load.outstanding, load.waiting)

    call.began(LATER + 1)
    assert (1, 0) == (load.outstanding, load.waiting)

    call.ended(LATER + 2)
    assert (0, 0) == (load.outstanding, load.waiting)


@given(st.lists(st.sampled_from(["arriving", "began", "ended", "failed"]), max_size=8))
def test_whatever_happens_and_however_often_a_call_counts_once(happens: list[str]) -> None:
    loads = Loads()
    other, call, load = loads.started(TARGET, 10, LATER), loads.started(TARGET, 500, LATER), loads[TARGET]
    for number, what in enumerate(happens):
        now = LATER + number
        if what == "arriving":
            call.arriving(now)
        else:
            call.began(now) if what == "began" else call.ended(now, failed=what == "failed")
    call.ended(LATER + 20)
    assert (1, 1, 10) == (load.outstanding, load.waiting, load._queued_tokens)

    other.ended(LATER + 30)
    assert (0, 0, 0) == (load.outstanding, load.waiting, load._queued_tokens)


def test_only_a_first_token_before_the_end_is_learned_from() -> None:
    loads = Loads()
    call = loads.started(TARGET, 100, LATER)
    call.ended(LATER + 1)
    call.began(LATER + 9 * NS_PER_S)

    assert 0 == loads[TARGET].peak_ns(LATER + 9 * NS_PER_S)


def test_prompts_wait_for_those_before_them() -> None:
    loads = Loads()
    load = loads[TARGET]
    first = loads.started(TARGET, 8_000, LATER)
    loads.started(TARGET, 4_000, LATER)
    assert 1.5 * NS_PER_S == load.wait_ns(LATER)
    assert 0.5 * NS_PER_S == load.wait_ns(LATER + NS_PER_S)

    first.began(LATER + 2 * NS_PER_S)
    assert 4_000 / load.rate == pytest.approx(load.wait_ns(LATER + 2 * NS_PER_S) / NS_PER_S)


def test_the_prompt_of_a_caller_who_left_waits_no_more() -> None:
    loads = Loads()
    loads.started(TARGET, 800, LATER)
    loads.started(TARGET, 80_000, LATER).ended(LATER + 1)

    assert NS_PER_S // 10 + 1 == loads[TARGET].drain_at - LATER
    assert NS_PER_S // 10 == loads[TARGET].wait_ns(LATER + 1)


def test_a_first_token_that_is_overdue_is_taken_to_be_as_late_again() -> None:
    loads = Loads()
    call, load = loads.started(TARGET, 8_000, LATER), loads[TARGET]
    assert 0 == load.wait_ns(LATER + NS_PER_S)
    assert 3 * NS_PER_S == load.wait_ns(LATER + 4 * NS_PER_S)
    assert DRAIN_NS_MAX == load.wait_ns(LATER + 10_000 * NS_PER_S)

    call.began(LATER + 4 * NS_PER_S)
    assert 0 == load.wait_ns(LATER + 9 * NS_PER_S)


def test_a_queue_is_believed_to_reach_300_seconds_ahead_at_most() -> None:
    loads = Loads()
    for _ in range(10):
        loads.started(TARGET, 1_000_000, LATER)
        loads.started(TARGET, 1, LATER).ended(LATER, failed=True)

    assert DRAIN_NS_MAX == loads[TARGET].wait_ns(LATER)


@pytest.mark.parametrize("speed", [500, 8_000, 40_000])
def test_the_speed_of_a_target_that_reads_one_prompt_after_another_is_learned(speed: int) -> None:
    loads, draw, now, free_at = Loads(), Random(3), LATER, LATER
    for _ in range(400):
        tokens = draw.randint(100, 20_000)
        begins = []
        for _ in range(draw.randint(1, 4)):  # several wait at the same time
            free_at = max(free_at, now) + tokens * NS_PER_S // speed
            begins.append((loads.started(TARGET, tokens, now), free_at))
        for call, at in begins:
            call.began(at)
            call.ended(at)
        now = free_at + draw.randint(0, NS_PER_S)

    assert loads[TARGET].rate == pytest.approx(speed, rel=0.01)


@pytest.mark.parametrize(("tokens", "took", "rate"), [(1, 3_600, TOKENS_PER_S_MIN), (10**6, 0.001, TOKENS_PER_S_MAX)])
def test_the_speed_stays_within_its_bounds(tokens: int, took: float, rate: float) -> None:
    loads, now = Loads(), LATER
    for _ in range(200):
        call = loads.started(TARGET, tokens, now)
        now += int(took * NS_PER_S)
        call.began(now)

    assert rate == loads[TARGET].rate


def test_a_prompt_that_was_cached_whole_says_nothing_of_the_speed() -> None:
    loads = Loads()
    before = loads[TARGET].rate
    loads.started(TARGET, 0, LATER).began(LATER + NS_PER_S)

    assert before == loads[TARGET].rate


def test_a_slow_answer_counts_at_once_and_fades_within_seconds() -> None:
    loads = Loads()
    load = loads[TARGET]
    loads.started(TARGET, 1, LATER).began(LATER + NS_PER_S)
    now = LATER + NS_PER_S
    loads.started(TARGET, 1, now).began(now + 3 * NS_PER_S)
    now += 3 * NS_PER_S
    assert 3 * NS_PER_S == load.peak_ns(now)

    loads.started(TARGET, 1, now + PEAK_DECAY_NS - NS_PER_S).began(now + PEAK_DECAY_NS)
    assert (3 * 0.3679 + 1 * 0.6321) * NS_PER_S == pytest.approx(load.peak_ns(now + PEAK_DECAY_NS), rel=1e-3)
    assert load.peak_ns(now + 8 * PEAK_DECAY_NS) < 0.002 * NS_PER_S


def test_failing_at_once_looks_slow_and_not_quick() -> None:
    loads = Loads()
    loads.started(TARGET, 1, LATER).ended(LATER + 1, failed=True)
    load = loads[TARGET]

    assert FAILURE_NS == load.peak_ns(LATER + 1)
    assert FAILURE_NS == load.wait_ns(LATER + 1)
    assert 0 == load.outstanding


def test_a_caller_who_leaves_is_not_held_against_the_target() -> None:
    loads = Loads()
    loads.started(TARGET, 1, LATER).ended(LATER + 1)

    assert (0, 0) == (loads[TARGET].peak_ns(LATER + 1), loads[TARGET].wait_ns(LATER + 1))


def test_about_one_in_20_first_tokens_is_later_than_the_95th_percentile() -> None:
    loads, draw, now, late, judged = Loads(), Random(5), LATER, 0, 0
    load = loads[TARGET]
    for _ in range(20_000):
        took = int(draw.lognormvariate(-1, 0.8) * NS_PER_S)
        if (p95 := load.p95_ns()) is not None:
            judged += 1
            late += took > p95
        loads.started(TARGET, 1, now).began(now + took)
        now += NS_PER_MS

    assert 0.045 <= late / judged <= 0.055
    assert 20_000 - P95_SAMPLES_MIN == judged


def test_targets_that_are_configured_or_have_calls_are_kept_and_others_forgotten() -> None:
    loads = Loads()
    idle, busy, kept = TargetId("idle"), TargetId("busy"), TargetId("kept")
    call = loads.started(busy, 1, LATER)
    loads.started(idle, 1, LATER).ended(LATER)
    loads.started(kept, 1, LATER).ended(LATER)

    loads.keep({kept})
    assert {busy, kept} == set(loads)

    call.ended(LATER)
    loads.keep({kept})
    assert {kept} == set(loads)


def test_the_load_of_one_that_is_alone_decides_nothing() -> None:
    def model(name: str, *deployments: Deployment, **more: object) -> Model:
        return Model(name=ModelName(name), deployments=deployments, **more)  # type: ignore[arg-type]  # by name

    def place(name: str, *, adaptive: bool = False) -> Deployment:
        at = ProviderId("p")
        return Deployment(id=DeploymentId(name), provider=at, upstream_model="m", adaptive=adaptive)

    alone = model("alone", place("a"))
    late = model("late", place("b"), substitutes=(Substitute(model=ModelName("alone"), late=True),))
    several = model("several", place("c"), place("d"))
    felt, quick = model("felt", place("e", adaptive=True)), model("quick", place("f"), strategy=Strategy.LATENCY)

    assert set("bcdef") == watched([alone, late, several, felt, quick])
    assert set("ag") == watched([alone, model("also", place("a"), place("g"))])


def test_the_time_in_which_a_request_was_still_coming_is_not_its_target_s() -> None:
    loads = Loads()
    call = loads.started(TARGET, 100, LATER)
    call.arriving(LATER)
    assert (1, 0, 0) == (loads[TARGET].outstanding, loads[TARGET].waiting, loads[TARGET].wait_ns(LATER + NS_PER_S))

    call.asked(LATER + 60 * NS_PER_S)
    assert 1 == loads[TARGET].waiting
    call.began(LATER + 61 * NS_PER_S)

    assert NS_PER_S == loads[TARGET].peak_ns(LATER + 61 * NS_PER_S)
