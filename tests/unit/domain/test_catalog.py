"""A client's name finds the model that bears it, else the deployment that it spells out."""

import pytest

from router.domain.catalog import Model
from router.domain.ids import ModelName
from tests.support.fakes import deployment, snapshot


def model(name: str) -> Model:
    return Model(name=ModelName(name), deployments=(deployment(),))


def test_a_model_is_found_by_its_own_name() -> None:
    named = snapshot()

    assert named.models[ModelName("small")] is named.find_model("small")


@pytest.mark.parametrize("name", ["Small", " small", "small ", "smal", "", "*"])
def test_a_name_is_found_whole_and_as_written_or_not_at_all(name: str) -> None:
    assert snapshot().find_model(name) is None


@pytest.mark.parametrize("name", ["up/model", "up:model"])
def test_a_deployment_is_found_by_what_it_is_named_directly(name: str) -> None:
    direct = model(name)

    assert direct is snapshot(direct=[direct]).find_model(name)
    assert snapshot().find_model(name) is None


def test_a_models_own_name_wins_over_a_deployment_of_that_name() -> None:
    both = snapshot(direct=[model("small"), model("up/model")])

    assert both.models[ModelName("small")] is both.find_model("small")
    assert both.direct[ModelName("up/model")] is both.find_model("up/model")
