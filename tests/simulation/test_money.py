"""Whatever is started, fed, cut, left or killed: no limit is passed, no nano-USD is lost or doubled."""

import os
from pathlib import Path
from random import SystemRandom  # noqa: TID251 - a base that nobody chose, printed with every failure

import pytest

from tests.simulation.run import play

SEEDS = 1_000
BLOCK = 50
MORE = int(os.environ.get("SIMULATION_MORE", "0"))
"""So many seeds more, from a random base."""
FOUND = [int(line.split()[0]) for line in Path(__file__).with_name("seeds.txt").read_text().splitlines() if line]
BASES = [*range(0, SEEDS, BLOCK), *range(base := SystemRandom().randrange(SEEDS, 1 << 40), base + MORE, BLOCK)]


@pytest.mark.slow
@pytest.mark.parametrize("first", BASES)
def test_no_seed_breaks_a_law_of_money(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed)


@pytest.mark.parametrize("seed", FOUND)
def test_a_seed_that_once_found_a_bug_finds_none(seed: int) -> None:
    play(seed)


def test_a_seed_is_a_whole_run() -> None:
    assert play(4) == play(4)
