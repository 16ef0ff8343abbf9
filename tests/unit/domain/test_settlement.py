"""What a call holds in money is part of what it holds; its tags are read each once."""

from router.domain.governance.budget import Amounts
from router.domain.ids import CallId, KeyId
from router.domain.settlement import Labels, Reservation, tag_values


def test_the_hold_of_the_row_is_the_money_among_the_amounts() -> None:
    reservation = Reservation(
        id=CallId(1),
        request_id="r",
        key_id=KeyId("k"),
        asked_model="m",
        started_ns=1,
        labels=Labels(),
        amounts=Amounts(usd=7, tokens=9, requests=1),
    )

    assert 7 == reservation.hold_nano_usd


def test_tags_are_read_each_once_and_in_order() -> None:
    assert ["eu", "nightly run"] == tag_values(" nightly run,eu,, eu ,")
    assert [] == tag_values(None) == tag_values(" , ")
