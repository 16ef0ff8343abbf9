"""A reply goes on for as long as more can be held for it; with everything around it, this is tested in `test_admit`."""

import pytest

from router.domain.governance.budget import Amounts
from router.domain.governance.output_estimate import class_of
from router.domain.governance.rate import Costs, RateLimit, Standing
from router.domain.governance.sizing import Sized
from router.domain.ids import CallId
from router.domain.pricing import Ceiling
from router.pipeline.admission import Admission


class Purse:
    """Has so many output tokens left."""

    def __init__(self, left: int = 0) -> None:
        self.left = left

    def extend(self, admission: Admission, call_id: CallId, more: int) -> bool:
        if more > self.left:
            return False
        self.left -= more
        admission.output_held += more
        return True

    def standings(self, limits: tuple[RateLimit, ...]) -> list[Standing]:
        raise AssertionError("nobody asks")


def admission(purse: Purse, *, held: int, most: int | None, top_up: bool = False) -> Admission:
    made = Admission(purse, CallId(1), kind=class_of("m", "k", 1), limits=())
    made.sized = Sized(
        amounts=Amounts(usd=50, tokens=held + 10),
        costs=Costs(1, 10, held, held + 10),
        output_tokens=held,
        output_tokens_max=most,
        write_max_tokens=None,
        top_up=top_up,
        ceiling=Ceiling(0, 1_000_000, 0),
    )
    made.output_held = held
    made.held = made.sized.amounts
    return made


def test_a_reply_within_what_is_held_goes_on_and_ends_without_asking() -> None:
    made = admission(Purse(), held=100, most=100)

    assert (True, True, False) == (made.may_go_on(100), made.has_enough(100), made.has_enough(101))


def test_a_reply_that_no_account_counts_goes_on_for_ever() -> None:
    assert admission(Purse(), held=0, most=None).may_go_on(10**9)


@pytest.mark.parametrize(("left", "goes_on"), [(256, True), (255, False)])
def test_more_is_held_before_what_is_held_is_used_up(left: int, goes_on: bool) -> None:
    assert goes_on == admission(Purse(left), held=100, most=1_000, top_up=True).may_go_on(40)


def test_one_that_passes_its_maximum_is_cut_where_no_room_is_left_and_its_excess_is_known() -> None:
    purse = Purse(256)
    made = admission(purse, held=100, most=100)

    assert (True, 356, False) == (made.may_go_on(200), made.allow(300), made.overrun)
    assert (False, True) == (made.may_go_on(400), made.overrun)
    assert 400 - 50 == made.overshoot(0)


def test_an_estimate_of_the_input_stays_within_what_is_held_for_it() -> None:
    assert 10 * 4 == admission(Purse(), held=100, most=100).input_bytes_max
