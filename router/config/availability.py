"""Decide whether a provider can serve in this release, and with which keys."""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from router.config.presets import CAN_SPEAK, PRESETS, USUALLY_SPEAKS
from router.config.schema_providers import ProviderSettings
from router.domain.catalog import Credential, ProviderKind
from router.domain.dialects.dialect import Dialect

_NO_KEY: Final = "none"
_NEEDS: Final = {"bedrock": "botocore", "sagemaker": "botocore", "vertex_ai": "google.auth"}
"""Python packages without which litellm cannot prove who we are to a provider."""
_COMES_WITH: Final = {"google.auth": "google-auth"}


def credentials_of(provider: ProviderSettings) -> tuple[Credential, ...]:
    """Return the keys that may be sent, its own first. None: it has no key, or needs none."""
    named = [("", provider.api_key), *((one.name, one.api_key) for one in provider.credentials)]
    return tuple(
        Credential(name=name, key=secret)
        for name, secret in named
        if secret is not None and secret.reveal() not in ("", _NO_KEY)
    )


def find_gaps(provider: ProviderSettings) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield what a provider lacks: the key of the file, what is wrong, and what to do."""
    if provider.kind is ProviderKind.SCRIPTED:
        return
    needs_no_key = provider.api_key is not None and provider.api_key.reveal() == _NO_KEY
    if not credentials_of(provider) and not needs_no_key:
        preset = PRESETS.get(provider.preset or provider.name)
        variable = preset.key_variable if preset else None
        fix = f"set {variable}" if variable else "write api_key: ${NAME}, or api_key: none if it needs no key"
        yield ("api_key",), "no key", fix
    if provider.kind is ProviderKind.LITELLM:
        yield from _find_missing_packages(provider)
    elif not provider.base_url:
        yield ("base_url",), "no address", "write base_url: https://host/v1"
    if unspeakable := sorted(frozenset(provider.dialects or ()) - CAN_SPEAK[provider.kind]):
        yield ("dialects",), f"{provider.kind} does not speak {', '.join(unspeakable)}", "leave it out"
    if provider.network.ca_file == "":
        yield ("network", "ca_file"), "no file", "set its variable"
    for header, value in provider.network.headers.items():
        if not value.reveal():
            yield ("network", "headers", header), "no value", "set its variable"


def dialects_of(provider: ProviderSettings) -> frozenset[Dialect]:
    """Return the routes that a provider has: its operator knows, else its preset, else they are those of its kind."""
    if provider.dialects is not None:
        return frozenset(provider.dialects)
    preset = PRESETS.get(provider.preset or provider.name)
    return (None if preset is None else preset.dialects) or USUALLY_SPEAKS[provider.kind]


def _find_missing_packages(provider: ProviderSettings) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Look for what the kind needs without importing it, which takes seconds."""
    family = (provider.litellm_provider or "").partition("/")[0]
    for package in filter(None, ("litellm", _NEEDS.get(family))):
        if not _is_installed(package):
            name = _COMES_WITH.get(package, package)
            yield ("kind",), f"the Python package {name} is missing", f"pip install {name}"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a part of a package that is missing as a whole
        return False


def why_left_out(provider: ProviderSettings) -> str | None:
    """Say why a provider takes no calls; None when it does."""
    for _, message, fix in find_gaps(provider):
        return f"{message}: {fix}"
    return None
