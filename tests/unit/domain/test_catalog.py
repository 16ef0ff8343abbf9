"""A client's name finds the model that bears it, else the deployment that it spells out."""

from dataclasses import replace

import pytest

from router.domain.catalog import Model
from router.domain.dialects.dialect import Dialect
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.ids import DeploymentId, ModelName
from tests.support.fakes import deployment, snapshot

LIMIT = ConcurrencyLimit(id="l", scope_kind="deployment", scope_value="one", limit=1)


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


def test_a_model_knows_what_its_deployments_have_in_common() -> None:
    one, other = replace(deployment(), context_window=5, lacks=frozenset("a")), replace(deployment(), tier=3)
    larger = replace(deployment(), tier=2, context_window=6, lacks=frozenset("b"))
    mixed = Model(name=ModelName("mixed"), deployments=(other, larger, one))

    assert ((1, 2, 3), {"a", "b"}, 5) == (mixed.tiers, mixed.lacks, mixed.window)
    assert ((1,), set(), None) == (model("plain").tiers, model("plain").lacks, model("plain").window)


def test_a_model_knows_what_holds_for_each_of_its_deployments() -> None:
    one = replace(deployment(), id=DeploymentId("one"), dialects=frozenset((Dialect.CHAT, Dialect.EMBEDDINGS)))
    other = replace(deployment(), id=DeploymentId("other"), dialects=frozenset((Dialect.CHAT,)))
    both = Model(name=ModelName("both"), deployments=(one, other))
    heavy = Model(name=ModelName("heavy"), deployments=(one, replace(other, weight=2.0, adaptive=True)))

    assert ({Dialect.CHAT}, {one.target, other.target}) == (both.dialects, both.targets)
    assert ((True, False), (False, True)) == ((both.even, both.bounded), (heavy.even, heavy.bounded))
    assert Model(name=ModelName("few"), deployments=(replace(one, concurrency_limits=(LIMIT,)), other)).bounded


def test_a_target_has_a_number_of_its_own_in_every_process() -> None:
    one, again, other = deployment(), deployment(), replace(deployment(), credential="b")

    assert one.salt == again.salt == 131_634_233.9904232
    assert one.salt != other.salt
    assert 1 << 26 <= other.salt < 1 << 27
