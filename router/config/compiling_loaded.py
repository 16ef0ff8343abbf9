"""Compile a loaded configuration with the price files that it names, and say for which names it asks the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass

from router.config.availability import why_left_out
from router.config.compiling import catalogue_name, compile_snapshot
from router.config.identity import id_of
from router.config.loading import Loaded
from router.config.problems import ConfigInvalid, problem_in
from router.config.schema import Settings
from router.domain.catalog import ProviderKind, Snapshot
from router.domain.pricing import Catalogues, PriceRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedName:
    """Where a deployment's price comes from when it has none of its own."""

    deployment: str
    name: str
    """What the catalogue is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A deployment that takes no calls because its provider does not."""

    deployment: str
    provider: str
    model: str
    """At the provider."""
    why: str


def compile_loaded(loaded: Loaded, *, revision: int, created_s: int, catalogues: Catalogues) -> Snapshot:
    """Compile a configuration. Raises `ConfigInvalid`, also for a price file that cannot be read or believed."""
    try:
        return compile_snapshot(
            loaded.settings,
            revision=revision,
            created_s=created_s,
            catalogue=catalogues(loaded.settings.prices.files),
            fingerprint=loaded.fingerprint,
            tree=loaded.tree,
        )
    except (OSError, PriceRefused) as exc:
        fix = "mend the file, or take it out of prices.files"
        raise ConfigInvalid([problem_in(loaded.tree, ("prices", "files"), str(exc), fix)]) from None


def priced_names(settings: Settings) -> Iterator[PricedName]:
    """Yield what the deployments without a price of their own are priced as."""
    providers = {provider.name: provider for provider in settings.providers}
    for model in settings.models:
        for deployment in model.deployments:
            provider = providers[deployment.provider]
            if deployment.price is None and provider.kind is not ProviderKind.SCRIPTED:
                name = deployment.price_as or catalogue_name(provider, deployment)
                yield PricedName(deployment=id_of(deployment), name=name)


def left_out(settings: Settings) -> Iterator[LeftOut]:
    """Yield the deployments that are written down and take no calls."""
    reasons = {provider.name: why for provider in settings.providers if (why := why_left_out(provider))}
    for model in settings.models:
        for deployment in model.deployments:
            if (why := reasons.get(deployment.provider)) is not None:
                yield LeftOut(
                    deployment=id_of(deployment), provider=deployment.provider, model=deployment.model, why=why
                )
