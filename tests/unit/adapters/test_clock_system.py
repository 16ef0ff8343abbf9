"""The system's time and chance, as far as the rest relies on them."""

import time

from router.adapters.clock_system import SystemClock, SystemDraw


def test_monotonic_time_never_goes_back_and_wall_time_is_unix_time() -> None:
    clock = SystemClock()
    first, second = clock.monotonic_ns(), clock.monotonic_ns()

    assert first <= second
    assert abs(clock.wall_ns() - time.time_ns()) < 10_000_000_000  # noqa: TID251 - the clock itself is tested


def test_tokens_are_32_digits_and_do_not_repeat() -> None:
    draw = SystemDraw()
    tokens = {draw.token() for _ in range(1_000)}

    assert 1_000 == len(tokens)
    assert {32} == {len(token) for token in tokens}
    assert set("0123456789abcdef") == set("".join(tokens))


def test_two_processes_do_not_draw_alike() -> None:
    assert SystemDraw().token() != SystemDraw().token()


def test_uniform_numbers_lie_between_zero_and_one() -> None:
    draw = SystemDraw()
    numbers = [draw.uniform() for _ in range(1_000)]

    assert 0 <= min(numbers) < 0.1
    assert 0.9 < max(numbers) < 1
