import pytest

from router.config.presets import PRESETS
from router.config.schema_providers import ProviderSettings
from router.domain.catalog import ProviderKind

every_preset = pytest.mark.parametrize("name", PRESETS)
on_the_wire = pytest.mark.parametrize(
    "name", [name for name, preset in PRESETS.items() if preset.kind is not ProviderKind.LITELLM]
)


@every_preset
def test_every_preset_makes_a_valid_provider(name: str) -> None:
    preset = PRESETS[name]
    provider = ProviderSettings.model_validate({"name": name, "kind": preset.kind, "base_url": preset.base_url})

    assert preset.base_url == provider.base_url


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.kind is ProviderKind.LITELLM])
def test_a_preset_of_litellm_says_which_provider_and_leaves_the_address_to_it(name: str) -> None:
    preset = PRESETS[name]

    assert preset.litellm_provider
    assert "" == preset.base_url


@on_the_wire
def test_a_preset_is_either_remote_with_a_key_over_tls_or_local_without(name: str) -> None:
    preset = PRESETS[name]
    local = preset.base_url.startswith("http://127.0.0.1:")

    assert local == preset.allow_private == (preset.key_variable is None)
    assert local or preset.base_url.startswith("https://")
