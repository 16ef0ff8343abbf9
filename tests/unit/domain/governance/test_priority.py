"""A call has one class: what is asked for within what its key may, one lower while a budget is low."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.faults import Fault, Refusal
from router.domain.governance.priority import HEADER, STANDARD_CLASSES, Classed, Grant, class_of_call

STANDARD = Grant(default="standard", highest="standard")


@pytest.mark.parametrize(
    ("asked", "low", "found"),
    [
        (None, False, Classed("standard")),
        (None, True, Classed("batch", lowered=True)),
        ("standard", False, Classed("standard")),
        ("batch", False, Classed("batch")),
        ("batch", True, Classed("batch")),
    ],
)
def test_a_call_has_the_class_that_it_names_or_its_keys_and_one_lower_while_a_budget_is_low(
    asked: str | None, low: bool, found: Classed
) -> None:
    assert found == class_of_call(STANDARD_CLASSES, STANDARD, asked=asked, low=low)


@pytest.mark.parametrize(("asked", "fault"), [("critical", Fault.PERMISSION_DENIED), ("urgent", Fault.INVALID_REQUEST)])
def test_a_class_that_is_none_or_too_high_is_refused_by_the_headers_name(asked: str, fault: Fault) -> None:
    refusal = class_of_call(STANDARD_CLASSES, STANDARD, asked=asked, low=False)

    assert isinstance(refusal, Refusal)
    assert (fault, HEADER) == (refusal.fault, refusal.param)
    assert refusal.message.endswith("Use one of standard, batch.")


def test_a_default_above_the_highest_that_may_be_named_may_be_named_too() -> None:
    grant = Grant(default="critical", highest="batch")

    assert Classed("critical") == class_of_call(STANDARD_CLASSES, grant, asked=None, low=False)
    assert Classed("standard") == class_of_call(STANDARD_CLASSES, grant, asked="standard", low=False)


def test_a_class_that_is_not_there_any_more_gives_nothing() -> None:
    classes, grant = ("gold", "silver"), Grant()

    assert Classed("silver") == class_of_call(classes, grant, asked=None, low=True)
    assert isinstance(class_of_call(classes, grant, asked="gold", low=False), Refusal)


@given(
    classes=st.lists(st.sampled_from("abcde"), min_size=1, unique=True),
    default=st.sampled_from("abcde"),
    highest=st.sampled_from("abcde"),
    asked=st.sampled_from([None, *"abcde"]),
    low=st.booleans(),
)
def test_no_call_passes_the_higher_of_its_keys_two_classes(
    classes: list[str], default: str, highest: str, asked: str | None, low: bool
) -> None:
    found = class_of_call(classes, Grant(default, highest), asked=asked, low=low)
    known = [classes.index(name) for name in (default, highest) if name in classes]

    if isinstance(found, Refusal):
        assert asked is not None
    else:
        assert classes.index(found.name) >= min(known, default=len(classes) - 1)
        assert not found.lowered or low
