"""What is stored is typed as the file's sections are, and told what is wrong with it without its values."""

import pytest

from router.config import UserSettings
from router.ports.keys import SettingsRefused
from router.stored_section import read_section


def test_a_section_is_typed_as_in_the_file() -> None:
    user = read_section(UserSettings, '{"name":"ann","budget":{"limit_usd":"0.1","window":"1d"}}')

    assert ("ann", "1d") == (user.name, user.budget and user.budget.window)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{", "no JSON"),
        ("[]", "dictionary"),
        ('{"name":"ann","wrong":1}', "`wrong`"),
        ('{"name":"ann","budget":{"limit_usd":"sk-canary"}}', "`budget.limit_usd`"),
        ('{"name":"ann","budget":{}}', "has no limit, write one of"),
        ('{"limits":{"rpm":0}}', "`name` Field required; `limits.rpm`"),
    ],
)
def test_every_problem_is_told_and_no_value(settings: str, said: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        read_section(UserSettings, settings)

    assert said in str(refused.value)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("settings", "param"),
    [
        ("{", None),
        ("[]", None),
        ('{"name":"ann","wrong":1}', "wrong"),
        ('{"name":"ann","limits":{"rpm":0}}', "limits.rpm"),
        ('{"limits":{"rpm":0}}', "name"),
        ('{"name":"ann","budget":{"limit_usd":1,"thresholds":[{"at_pct":50}]}}', "budget.thresholds[0].action"),
    ],
)
def test_the_member_that_the_first_problem_is_about_is_named(settings: str, param: str | None) -> None:
    with pytest.raises(SettingsRefused) as refused:
        read_section(UserSettings, settings)

    assert param == refused.value.param
