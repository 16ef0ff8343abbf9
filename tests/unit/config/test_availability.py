import pytest

from router.config import availability
from router.config.availability import credentials_of, find_gaps, why_left_out
from router.config.schema_providers import ProviderSettings
from router.config.tree import Plain


def provider(**given: Plain) -> ProviderSettings:
    return ProviderSettings.model_validate(
        {"name": "p", "kind": "openai_compatible", "base_url": "https://p/v1", "api_key": "none", **given}
    )


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({"api_key": "k"}, {"": "k"}),
        ({"api_key": "none"}, {}),
        ({"api_key": ""}, {}),
        (
            {"api_key": None, "credentials": [{"name": "a", "api_key": ""}, {"name": "b", "api_key": "second"}]},
            {"b": "second"},
        ),
        ({"api_key": "k", "credentials": [{"name": "a", "api_key": "c"}]}, {"": "k", "a": "c"}),
    ],
)
def test_the_keys_are_the_providers_own_and_those_of_its_credentials_that_have_one(
    given: dict[str, Plain], keys: dict[str, str]
) -> None:
    found = credentials_of(provider(**given))

    assert list(keys.items()) == [(one.name, one.key.reveal()) for one in found if one.key]
    assert len(keys) == len(found)


@pytest.mark.parametrize(
    ("given", "gaps"),
    [
        ({}, []),
        ({"api_key": None}, [("api_key",)]),
        ({"api_key": ""}, [("api_key",)]),
        ({"base_url": ""}, [("base_url",)]),
        (
            {"network": {"ca_file": "", "headers": {"x-a": "", "x-b": "v"}}},
            [("network", "ca_file"), ("network", "headers", "x-a")],
        ),
        ({"kind": "scripted", "api_key": None, "base_url": ""}, []),
        ({"kind": "litellm", "base_url": ""}, []),
        ({"kind": "anthropic", "base_url": ""}, [("base_url",)]),
    ],
)
def test_a_provider_lacks_what_it_cannot_be_asked_without(given: dict[str, Plain], gaps: list[tuple[str, ...]]) -> None:
    assert gaps == [path for path, _, _ in find_gaps(provider(**given))]


def test_a_preset_names_the_variable_of_its_key() -> None:
    assert "no key: set GROQ_API_KEY" == why_left_out(provider(name="groq", api_key=None))
    assert "no key: set GROQ_API_KEY" == why_left_out(provider(preset="groq", api_key=None))


def test_every_kind_serves() -> None:
    assert why_left_out(provider()) is None
    assert why_left_out(provider(kind="litellm", base_url="", litellm_provider="gemini")) is None
    assert why_left_out(provider(kind="anthropic")) is None


@pytest.mark.parametrize(("family", "package", "installed"), [
    ("gemini", "litellm", "litellm"),
    ("bedrock", "botocore", "botocore"),
    ("vertex_ai", "google.auth", "google-auth"),
])  # fmt: skip
def test_what_litellm_needs_and_is_not_installed_is_named(
    family: str, package: str, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "find_spec", lambda name: None if name == package else object())
    assert f"the Python package {installed} is missing: pip install {installed}" == why_left_out(
        provider(kind="litellm", litellm_provider=family)
    )


def test_a_package_inside_one_that_is_missing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> object:
        if "." in name:
            raise ModuleNotFoundError(name)
        return object()

    monkeypatch.setattr(availability, "find_spec", find)
    assert str(why_left_out(provider(kind="litellm", litellm_provider="vertex_ai"))).endswith("google-auth")
