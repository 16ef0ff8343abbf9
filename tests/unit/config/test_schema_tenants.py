import pytest
from pydantic import ValidationError

from router.config.schema_tenants import KeySettings


@pytest.mark.parametrize(
    "given",
    [
        {"key": "short"},
        {"key_sha256": "12"},
        {"key_sha256": "g" * 64},
        {"team": "acme"},
        {"team": "a/b/c"},
        {"team": "/b"},
    ],
)
def test_a_key_with_an_unusable_secret_or_team_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        KeySettings.model_validate({"name": "k", **given})


def test_a_digest_may_be_written_in_capitals() -> None:
    assert "ab" * 32 == KeySettings.model_validate({"name": "k", "key_sha256": "AB" * 32}).key_sha256


def test_a_key_calls_every_model_and_administers_nothing_unless_told() -> None:
    key = KeySettings.model_validate({"name": "k", "key": "sk-12345678"})

    assert (("*",), ["inference"]) == (key.models, list(key.permissions))


def test_a_key_shows_neither_its_secret_nor_its_digest() -> None:
    shown = f"{KeySettings(name='k', key='sk-hunter2', key_sha256='ab' * 32)!r}"

    assert "hunter2" not in shown
    assert "abab" not in shown


def test_a_teams_administrator_has_a_team() -> None:
    with pytest.raises(ValidationError, match="no team"):
        KeySettings.model_validate({"name": "k", "permissions": ["team_admin"]})

    assert "acme/lab" == KeySettings(name="k", permissions=("team_admin",), team="acme/lab").team
