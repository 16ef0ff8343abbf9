import pytest

from router.config.first_start import first_layer, is_loopback
from router.config.schema import Settings
from router.config.tree import Origin, Plain, flatten, grow

ADMIN = "sk-0123456789abcdef"


def start(upper: Plain = None, *, container: bool = False) -> tuple[Settings, str]:
    layer, said = first_layer(grow(upper or {}, Origin(source="env")), container=container, admin_key=ADMIN)
    return Settings.model_validate(flatten(layer)), " ".join(said)


def keys(settings: Settings) -> list[str]:
    return [key.key.reveal() for key in settings.keys if key.key]


def test_on_loopback_the_keys_that_everybody_knows_open_the_demo() -> None:
    settings, said = start()

    assert ["sk-local", "sk-admin-local"] == keys(settings)
    assert ADMIN not in said
    assert all(word in said for word in ("sk-local", "sk-admin-local", "demo", "checkrein init"))


@pytest.mark.parametrize(
    ("upper", "container"),
    [
        (None, True),
        ({"server": {"http": {"host": "0.0.0.0"}}}, False),
        ({"server": {"http": {"host": "::"}}}, False),
    ],
)
def test_elsewhere_the_only_key_is_one_that_was_made_for_this_start(upper: Plain, container: bool) -> None:
    settings, said = start(upper, container=container)

    assert [ADMIN] == keys(settings)
    assert ADMIN in said
    assert "-local" not in said


def test_the_demo_has_a_price_and_a_natural_pace() -> None:
    settings, _ = start()
    price, script = settings.models[0].deployments[0].price, settings.providers[0].script

    assert price is not None
    assert script is not None
    assert ("2.00", "10.00") == (str(price.input), str(price.output))
    assert (50_000_000, 100.0) == (script.first_token, script.tokens_per_s)


def test_who_brings_keys_or_providers_gets_none_of_ours_beside_them() -> None:
    with_keys, _ = start({"keys": [{"name": "a", "key": "sk-of-mine"}]})
    with_providers, _ = start({"providers": [{"name": "openai"}]})

    assert () == with_keys.keys
    assert ("demo",) == tuple(model.name for model in with_keys.models)
    assert () == with_providers.providers == with_providers.models


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.evil.org", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, loopback: bool) -> None:
    assert loopback is is_loopback(host)
