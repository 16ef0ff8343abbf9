import pytest
from pydantic import ValidationError

from router.config.schema_services import ErrorSettings, WebhookSettings
from tests.unit.config.conftest import Problems


@pytest.mark.parametrize("written", [429, 402, "402"])
def test_a_used_up_budget_is_429_or_402(written: int | str) -> None:
    assert int(written) == ErrorSettings.model_validate({"budget_status": written}).budget_status


def test_a_used_up_budget_has_no_other_status() -> None:
    with pytest.raises(ValidationError):
        ErrorSettings.model_validate({"budget_status": 403})


def test_the_address_of_a_webhook_is_as_secret_as_its_signature() -> None:
    hook = WebhookSettings.model_validate({"url": "https://h/hunter2", "secret": "hunter2"})

    assert "hunter2" not in f"{hook!r}{hook.model_dump_json()}"


def test_an_event_that_nobody_knows_is_a_problem_with_its_fix(problems_of: Problems) -> None:
    (problem,) = problems_of("webhooks: [{ url: 'https://h', events: [budget.treshold] }]")

    assert "webhooks[0].events[0]" in problem
    assert "budget.threshold" in problem
    assert "loop.blocked" in problem
