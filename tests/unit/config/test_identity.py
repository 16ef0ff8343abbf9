import hashlib

import pytest

from router.config.identity import digest_of, id_of, is_local
from router.config.schema_models import DeploymentSettings
from router.config.schema_tenants import KeySettings


def key(**given: str) -> KeySettings:
    return KeySettings.model_validate({"name": "k", **given})


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_key_and_its_digest_are_the_same_key() -> None:
    assert digest_of(key(key="sk-12345678")) == digest_of(key(key_sha256=sha256("sk-12345678")))
    assert digest_of(key()) is None


@pytest.mark.parametrize(
    ("given", "local"),
    [
        ({"key": "sk-mine-local"}, True),
        ({"key": "sk-of-mine"}, False),
        ({"key_sha256": sha256("sk-admin-local")}, True),
        ({"key_sha256": sha256("sk-of-mine")}, False),
    ],
)
def test_a_key_that_may_be_published_is_local(given: dict[str, str], local: bool) -> None:
    assert local is is_local(key(**given))


def test_a_deployment_is_known_by_its_name_or_by_where_it_runs() -> None:
    deployment = {"provider": "p", "model": "m"}

    assert "p/m" == id_of(DeploymentSettings.model_validate(deployment))
    assert "stable" == id_of(DeploymentSettings.model_validate({**deployment, "name": "stable"}))
