"""Decide by what keys and deployments are known: a digest, and an id that survives reloads."""

import hashlib
from typing import Final

from router.config.schema_models import DeploymentSettings
from router.config.schema_tenants import KeySettings

LOCAL_SUFFIX: Final = "-local"
"""A secret that ends so may be published: it works over loopback only."""


def digest_of(key: KeySettings) -> bytes | None:
    """Return the SHA-256 under which a key is known; None when it has no secret."""
    if key.key is not None:
        return hashlib.sha256(key.key.reveal().encode()).digest()
    return bytes.fromhex(key.key_sha256) if key.key_sha256 else None


_LOCAL_DIGESTS: Final = {hashlib.sha256(name.encode()).digest() for name in ("sk-local", "sk-admin-local")}
"""The keys that everybody knows are local even when only their digest is written."""


def is_local(key: KeySettings) -> bool:
    """Say whether a key works over loopback only."""
    if key.key is not None:
        return key.key.reveal().endswith(LOCAL_SUFFIX)
    return digest_of(key) in _LOCAL_DIGESTS


def id_of(deployment: DeploymentSettings) -> str:
    """Return the stable id under which a deployment's state is kept."""
    return deployment.name or f"{deployment.provider}/{deployment.model}"
