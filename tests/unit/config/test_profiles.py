import pytest

from router.config.profiles import PROFILES, describe_profiles, with_profile
from router.config.schema_controls import PrioritySettings
from router.config.schema_models import LimitSettings
from router.config.schema_tenants import KeySettings, Profile

BUDGET = {"limit_usd": 5}


def key(**given: object) -> KeySettings:
    return KeySettings.model_validate({"name": "k", "key": "sk-12345678", **given})


def test_a_key_without_a_profile_has_no_limits_and_the_usual_classes() -> None:
    settings = with_profile(key(budget=BUDGET))

    assert ("standard", "critical") == (settings.priority.default, settings.priority.max)
    assert LimitSettings() == settings.limits
    assert settings.budget is not None
    assert () == settings.budget.thresholds


@pytest.mark.parametrize("profile", list(Profile))
def test_a_profile_fills_in_what_the_key_does_not_say(profile: Profile) -> None:
    settings, bundle = with_profile(key(profile=profile, budget=BUDGET)), PROFILES[profile]

    assert bundle.priority == settings.priority
    assert bundle.limits == settings.limits
    assert settings.budget is not None
    assert bundle.thresholds == settings.budget.thresholds


def test_whatever_the_key_says_wins() -> None:
    limits = {"rpm": 1, "smooth": True}
    settings = with_profile(
        key(profile="experimental", limits=limits, priority={"max": "critical"}, budget={**BUDGET, "thresholds": []})
    )

    assert (1, True, 200_000) == (settings.limits.rpm, settings.limits.smooth, settings.limits.tpm)
    assert ("batch", "critical") == (settings.priority.default, settings.priority.max)
    assert settings.budget is not None
    assert () == settings.budget.thresholds


def test_a_profile_gives_no_budget_to_a_key_without_one() -> None:
    assert with_profile(key(profile="experimental")).budget is None


def test_a_stored_key_does_not_freeze_what_its_profile_said() -> None:
    stored = key(profile="experimental", budget=BUDGET).model_dump(mode="json", exclude={"key"})
    changed = KeySettings.model_validate({**stored, "profile": "critical"})

    assert with_profile(key(profile="critical", budget=BUDGET)).limits == with_profile(changed).limits
    assert with_profile(key(profile="critical", budget=BUDGET)).budget == with_profile(changed).budget


def test_the_usual_classes_are_those_that_profiles_name() -> None:
    classes = {entry.name for entry in PrioritySettings().classes}

    assert classes >= {name for bundle in PROFILES.values() for _, name in bundle.priority}


def test_the_page_has_a_row_for_each_profile() -> None:
    assert "| `critical` | critical, at most critical | 80 % notify | none |" == describe_profiles().splitlines()[0]
    assert len(Profile) == len(describe_profiles().splitlines())
