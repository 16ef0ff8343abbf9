import pytest
from pydantic import ValidationError

from router.config.schema_services import ErrorSettings, WebhookSettings


@pytest.mark.parametrize("written", [429, 402, "402"])
def test_a_used_up_budget_is_429_or_402(written: int | str) -> None:
    assert int(written) == ErrorSettings.model_validate({"budget_status": written}).budget_status


def test_a_used_up_budget_has_no_other_status() -> None:
    with pytest.raises(ValidationError):
        ErrorSettings.model_validate({"budget_status": 403})


def test_the_address_of_a_webhook_is_as_secret_as_its_signature() -> None:
    hook = WebhookSettings.model_validate({"url": "https://h/hunter2", "secret": "hunter2"})

    assert "hunter2" not in f"{hook!r}{hook.model_dump_json()}"
