"""A secret shows itself to nobody who does not ask."""

import pytest

from router.domain.secret import Secret

SECRET = Secret("sk-canary-4711")


@pytest.mark.parametrize(
    "shown",
    [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r}", format(SECRET), repr([SECRET]), repr({SECRET: 1})],
)
def test_a_secret_is_never_shown(shown: str) -> None:
    assert "4711" not in shown
    assert "Secret(***)" in shown


def test_a_secret_is_revealed_on_purpose() -> None:
    assert "sk-canary-4711" == SECRET.reveal()


def test_secrets_are_equal_by_value_and_to_nothing_else() -> None:
    assert Secret("sk-canary-4711") == SECRET
    assert hash(Secret("sk-canary-4711")) == hash(SECRET)
    assert Secret("sk-other") != SECRET
    assert "sk-canary-4711" != SECRET


def test_a_secret_has_no_other_place_to_look() -> None:
    assert not hasattr(SECRET, "__dict__")
