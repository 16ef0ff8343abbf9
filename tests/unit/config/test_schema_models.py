"""A price is whole: both prices of tokens, or a price by another unit."""

import pytest
from pydantic import ValidationError

from router.config.schema_models import PriceSettings


@pytest.mark.parametrize("said", [{"input": 1}, {"output": 1}, {"request": 1}, {}])
def test_a_price_has_both_of_its_tokens_unless_it_has_another_unit(said: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=r"has no (in|out)put"):
        PriceSettings.model_validate(said)


@pytest.mark.parametrize(
    "said",
    [
        {"input": 0, "output": 0},
        {"per_image": 0},
        {"images": [{"per_image": 1}]},
        {"per_character": 1},
        {"per_second_audio": 1},
        {"per_query": 1, "input": 1},
    ],
)
def test_tokens_without_a_price_beside_one_by_another_unit_are_free(said: dict[str, object]) -> None:
    price = PriceSettings.model_validate(said)

    assert (said != {"input": 0, "output": 0}, 0) == (price.has_units, price.output)


@pytest.mark.parametrize("said", [{"per_image": -1}, {"per_image": 1_001}, {"per_character": 2}, {"per_query": 1_001}])
def test_a_price_of_which_the_sum_may_be_no_number_of_ours_is_refused(said: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        PriceSettings.model_validate(said)
