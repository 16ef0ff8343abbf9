import pytest
from pydantic import ValidationError

from router.config.schema_controls import ConcurrencySettings, PrioritySettings


@pytest.mark.parametrize(("written", "limit"), [("none", "none"), ("auto", "auto"), (64, 64), ("64", 64)])
def test_a_limit_is_a_word_or_a_number_of_calls(written: str | int, limit: str | int) -> None:
    assert limit == ConcurrencySettings.model_validate({"limit": written}).limit


@pytest.mark.parametrize("written", [0, -1, True, None, "many", 1.5, 1_000_001])
def test_anything_else_is_no_limit(written: object) -> None:
    with pytest.raises(ValidationError):
        ConcurrencySettings.model_validate({"limit": written})


def test_the_usual_classes_stand_highest_first_with_shares_that_fit() -> None:
    classes = PrioritySettings().classes

    assert ["critical", "standard", "batch"] == [entry.name for entry in classes]
    assert [10, 20, 300] == [entry.queue_timeout // 10**9 for entry in classes]
    assert 1 >= sum(entry.min_share for entry in classes)
