import pytest
from pydantic import ValidationError

from router.config.schema import Settings


def test_settings_do_not_read_the_environment_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKREIN_MODE", "observe")

    assert "enforce" == Settings.model_validate({}).mode == Settings().mode


def test_settings_cannot_be_changed() -> None:
    settings = Settings.model_validate({})

    with pytest.raises(ValidationError):
        settings.mode = "observe"
    with pytest.raises(ValidationError):
        settings.server.http.port = 1


def test_settings_survive_being_written_and_read() -> None:
    settings = Settings.model_validate({"server": {"drain": {"grace": "90s"}}, "retention": {"ledger": "2d"}})

    assert settings == Settings.model_validate(settings.model_dump(mode="json"))
