"""A provider that dates its models serves what it was asked for; one that names another model does not."""

import pytest

from router.domain.served_names import is_same_model


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-5", "gpt-5"),
        ("gpt-5", "gpt-5-2026-01-01"),
        ("gpt-4", "gpt-4-0613"),
        ("gpt-5", "GPT-5-2026-01-01"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
        ("mistral-large-latest", "mistral-large-2411"),
        ("gemini-2.0-flash", "gemini-2.0-flash-001"),
        ("gpt-5-2026-01-01", "gpt-5"),
        ("openai/gpt-5", "gpt-5-2026-01-01"),
        ("gpt-5", "openai/gpt-5"),
        ("gpt-5-2026-01-01", "gpt-5-20260101"),
        ("anthropic.claude-3", "anthropic.claude-3-v2:1"),
        ("llama-3", "/models/Llama-3.gguf"),
    ],
)
def test_a_date_a_revision_or_a_folder_is_no_other_model(asked: str, served: str) -> None:
    assert is_same_model(asked, served)


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("gpt-5", "gpt-5-mini"),
        ("gpt-5", "gpt-5-mini-2026-01-01"),
        ("gpt-5", "gpt-50"),
        ("gpt-5", "gpt-4"),
        ("gpt-5-2026-01-01", "gpt-5-2026-06-01"),
        ("llama-3-8b", "llama-3-70b"),
        ("o3", "o3-pro"),
        ("gpt-5", ""),
    ],
)
def test_another_name_or_another_version_is_another_model(asked: str, served: str) -> None:
    assert not is_same_model(asked, served)
