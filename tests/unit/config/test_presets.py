import pytest

from router.config.presets import PRESETS
from router.config.schema_providers import ProviderSettings

every_preset = pytest.mark.parametrize("name", PRESETS)


@every_preset
def test_every_preset_makes_a_valid_provider(name: str) -> None:
    preset = PRESETS[name]
    provider = ProviderSettings.model_validate({"name": name, "kind": preset.kind, "base_url": preset.base_url})

    assert preset.base_url == provider.base_url


@every_preset
def test_a_preset_is_either_remote_with_a_key_over_tls_or_local_without(name: str) -> None:
    preset = PRESETS[name]
    local = preset.base_url.startswith("http://127.0.0.1:")

    assert local == preset.allow_private == (preset.key_variable is None)
    assert local or preset.base_url.startswith("https://")
