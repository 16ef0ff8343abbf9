"""The collector leaves alone what is being made, and runs again afterwards, whatever happens."""

import gc
from collections.abc import Iterator

import pytest

from router.collector import LARGE, Undisturbed, settle


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.enable()
    gc.set_threshold(*threshold)


def test_the_collector_is_off_while_something_is_made_and_on_again_after() -> None:
    undisturbed = Undisturbed()

    assert [False, False] == undisturbed(lambda: [gc.isenabled(), undisturbed(gc.isenabled)])
    assert gc.isenabled()


def test_the_collector_stays_off_until_the_last_of_several_is_made() -> None:
    undisturbed = Undisturbed()

    def make() -> bool:
        undisturbed(int)
        return gc.isenabled()

    assert not undisturbed(make)
    assert gc.isenabled()


def test_the_collector_is_on_again_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError):
        Undisturbed()(lambda: 1 // 0)

    assert gc.isenabled()


def test_much_is_put_out_of_sight_and_little_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    young = [LARGE - 1, LARGE]  # as the collector counts them, which has seen what other tests made
    monkeypatch.setattr(gc, "get_count", lambda: (young.pop(0), 0, 0))
    frozen = gc.get_freeze_count()
    little = Undisturbed()(lambda: [[] for _ in range(10)])
    between = gc.get_freeze_count()
    much = Undisturbed()(lambda: [[] for _ in range(9_000)])

    assert (10, 9_000) == (len(little), len(much))
    assert frozen == between
    assert gc.get_freeze_count() >= between + 9_000


def test_settled_is_what_start_up_made_and_rarer_are_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[None] = []
    monkeypatch.setattr(gc, "collect", lambda: rounds.append(None))  # its own would find what other tests left
    frozen = gc.get_freeze_count()
    settle()

    assert [None] == rounds
    assert gc.get_freeze_count() > frozen
    assert gc.get_threshold()[0] > 700
