import pytest
from pydantic import ValidationError

from router.config.schema_store import SharedSettings, StoreSettings, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5432/d?sslpassword=p", "postgresql://h:5432/d"),
        ("redis://:p@h", "redis://h"),
        ("sqlite:///./checkrein.db", "sqlite:///./checkrein.db"),
        (None, None),
    ],
)
def test_a_url_is_shown_without_its_credentials(url: str | None, shown: str | None) -> None:
    assert shown == without_password(url)


def test_stores_show_no_password_in_any_form() -> None:
    for section in (StoreSettings(url="postgresql://u:hunter2@h/d"), SharedSettings(url="redis://:hunter2@h")):
        assert "hunter2" not in f"{section!r}{section.model_dump_json()}"
        assert "hunter2" in str(section.url)


@pytest.mark.parametrize("url", ["mysql://h/d", "checkrein.db", ""])
def test_a_store_of_an_unknown_kind_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="not a URL that is understood here"):
        StoreSettings(url=url)
