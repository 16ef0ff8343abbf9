"""The compiled, frozen view of one configuration: providers, deployments, models. A call keeps it to its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from router.domain.governance.budget import Budget, BudgetId
from router.domain.governance.input_bound import PartKind
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.instants import NS_PER_S
from router.domain.pricing import PriceCard
from router.domain.principal import Bounds, KeyEntry
from router.domain.secret import Secret
from router.domain.webhook import Webhook


class ProviderKind(StrEnum):
    OPENAI_COMPATIBLE = "openai_compatible"
    ANTHROPIC = "anthropic"
    LITELLM = "litellm"
    SCRIPTED = "scripted"


class ReplyModel(StrEnum):
    """What the reply's `model` member says: the upstream's own bytes, or the name that the caller used."""

    UPSTREAM = "upstream"
    ALIAS = "alias"


class UnknownPrices(StrEnum):
    """What becomes of a call under a USD budget for a model that has no price."""

    REFUSE = "refuse"
    ASSUME = "assume"
    """It costs as the dearest model known of its provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Nanoseconds. The two stream timeouts never cut a reply that is not streamed."""

    connect_ns: int
    stream_first_event_ns: int
    stream_idle_ns: int
    total_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    ca_file: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How the scripted provider answers; every reply is a function of the request and this."""

    first_token_ns: int = 0
    tokens_per_s: float = 0.0
    """0: as fast as the reader takes them."""
    reply: str | None = None
    """The text to answer; None: a text about the last user message, of `reply_tokens` tokens."""
    reply_tokens: int = 32
    error_rate: float = 0.0
    """Share of requests that fail with `error_status`, spread evenly over a run."""
    error_status: int = 500
    cut_after_tokens: int | None = None
    """Streams end without a finish after so many tokens."""
    report_usage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    id: ProviderId
    kind: ProviderKind
    base_url: str = ""
    api_key: Secret | None = None
    timeouts: Timeouts
    network: Network = field(default_factory=Network)
    script: Script | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One upstream model at one provider. `id` is stable across reloads: state is kept under it."""

    id: DeploymentId
    provider: ProviderId
    upstream_model: str
    tier: int = 1
    price: PriceCard | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    max_tokens_field: str | None = None
    """The member of the body that limits a reply here; None: as the caller wrote it."""
    weight: float = 1.0
    """Share of calls within the tier."""
    part_maxima: Mapping[PartKind, int] = field(default_factory=dict)
    """Tokens that one input part of a kind takes at most; a kind that is absent has no bound."""
    rate_limits: tuple[RateLimit, ...] = ()
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name that clients use, and the deployments behind it, lower tier first."""

    name: ModelName
    deployments: tuple[Deployment, ...]
    reply_model: ReplyModel = ReplyModel.UPSTREAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One configuration, compiled. Swapped whole by a reload; never changed."""

    revision: int
    fingerprint: str
    """SHA-256 of the effective configuration without its secrets."""
    providers: Mapping[ProviderId, Provider]
    models: Mapping[ModelName, Model]
    keys: Mapping[bytes, KeyEntry]
    """By the SHA-256 of the secret."""
    created_s: int
    """Unix seconds; what `/v1/models` reports as `created`."""
    direct: Mapping[ModelName, Model] = field(default_factory=dict)
    """`provider/model` and `provider:model` for every deployment; not listed to clients."""
    users: Mapping[str, Bounds] = field(default_factory=dict)
    """What users must keep to who have a budget or limits, for calls whose caller names the user."""
    budgets: Mapping[BudgetId, Budget] = field(default_factory=dict)
    """All of them, whomever they are for."""
    tree_budgets: tuple[Budget, ...] = ()
    """Of them, those whose account a call decides, not its key: by workflow, user, agent, tag, model, in this order."""
    unknown_prices: UnknownPrices = UnknownPrices.REFUSE
    keys_grace_ns: int = 300 * NS_PER_S
    """How long stored keys are good while nobody can look whether they still are."""
    budget_status: int = 429
    """HTTP status of a refusal by a used-up budget."""
    webhooks: tuple[Webhook, ...] = ()
    """Whom to tell of events."""

    def find_model(self, name: str) -> Model | None:
        """Resolve what a client asked for: a model's own name wins over a deployment named directly."""
        return self.models.get(ModelName(name)) or self.direct.get(ModelName(name))
