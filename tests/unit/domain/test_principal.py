"""A key may use the models that its patterns name, and no others."""

import pytest

from router.domain.governance.budget import BudgetMode
from router.domain.ids import KeyId, ModelName
from router.domain.principal import Bounds, Mode, Permission, Principal
from tests.support.fakes import principal


@pytest.mark.parametrize(
    ("patterns", "model"),
    [
        (("*",), "small"),
        (("*",), "vendor/deep/model"),
        (("small",), "small"),
        (("large", "small"), "small"),
        (("gpt-*",), "gpt-5-mini"),
        (("gpt-*",), "gpt-"),
        (("vendor/*",), "vendor/deep/model"),
        (("*-mini",), "gpt-5-mini"),
        (("gpt-?",), "gpt-5"),
        (("gpt-[45]",), "gpt-4"),
        (("odd[name]",), "odd[name]"),
    ],
)
def test_a_model_that_a_pattern_matches_may_be_used(patterns: tuple[str, ...], model: str) -> None:
    assert principal(*patterns).may_use(ModelName(model))


@pytest.mark.parametrize(
    ("patterns", "model"),
    [
        (("small",), "smaller"),
        (("small",), "not-small"),
        (("small",), "Small"),
        (("SMALL*",), "small"),
        (("gpt-*",), "my-gpt-5"),
        (("vendor/*",), "vendor"),
        (("gpt-?",), "gpt-41"),
        (("gpt-[45]",), "gpt-6"),
        (("large", "gpt-*"), "small"),
        (("",), "small"),
    ],
)
def test_a_model_that_no_pattern_matches_may_not(patterns: tuple[str, ...], model: str) -> None:
    assert not principal(*patterns).may_use(ModelName(model))


def test_a_key_without_patterns_may_use_nothing() -> None:
    assert not Principal(key_id=KeyId("ci")).may_use(ModelName("small"))


def test_a_key_infers_and_administers_nothing_unless_it_is_said() -> None:
    assert frozenset({Permission.INFERENCE}) == Principal(key_id=KeyId("ci")).permissions


def test_a_key_keeps_to_nothing_and_is_held_to_what_is_decided_unless_it_is_said() -> None:
    bare = Principal(key_id=KeyId("ci"))

    assert ((), (), (), Mode.ENFORCE) == (bare.accounts, bare.rate_limits, bare.concurrency_limits, bare.mode)
    assert (True, True, BudgetMode.STRICT, False) == (
        bare.may_set_attribution,
        bare.may_substitute,
        bare.budget_mode,
        bare.clamp,
    )
    assert (None, (), ()) == (Bounds().budget, Bounds().rate_limits, Bounds().concurrency_limits)
