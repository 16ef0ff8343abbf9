"""Settings that are refused say what is wrong, and where, if it is in one place."""

from router.ports.keys import SettingsRefused


def test_a_refusal_says_its_problems_and_the_member_of_the_first() -> None:
    placed, whole = SettingsRefused("`name` is missing; `x` is odd", param="name"), SettingsRefused("no JSON")

    assert [("`name` is missing; `x` is odd", "name"), ("no JSON", None)] == [
        (str(one), one.param) for one in (placed, whole)
    ]
