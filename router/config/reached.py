"""Say which way to a provider the operator has allowed, for whoever builds the connections."""

from dataclasses import dataclass

from router.config.schema_providers import NetworkSettings
from router.domain.catalog import Network
from router.domain.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachedNetwork(Network):
    """A network of the catalogue, and the way there: a change of either replaces the provider's connections."""

    allow_private: bool = False
    proxy: Secret | None = None


def compile_network(network: NetworkSettings) -> ReachedNetwork:
    return ReachedNetwork(
        ca_file=network.ca_file,
        headers=tuple((name, value.reveal()) for name, value in network.headers.items()),
        allow_private=network.allow_private,
        proxy=network.proxy if network.proxy is not None and network.proxy.reveal() else None,
    )


def reached(network: Network) -> ReachedNetwork:
    """Return how a provider is reached; one that did not come from a file is at a public address."""
    return network if isinstance(network, ReachedNetwork) else ReachedNetwork(ca_file=network.ca_file)
