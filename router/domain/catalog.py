"""The compiled, frozen view of one configuration: providers, deployments, models. A call keeps it to its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.retry import RetryTerms
from router.domain.governance.budget import Budget, BudgetId
from router.domain.governance.input_bound import PartKind
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.priority import STANDARD_CLASSES
from router.domain.governance.rate import RateLimit
from router.domain.ids import DeploymentId, ModelName, ProviderId, TargetId, target_of
from router.domain.instants import NS_PER_S
from router.domain.pricing import PriceCard
from router.domain.principal import Bounds, KeyEntry
from router.domain.secret import Secret
from router.domain.webhook import Webhook

ROLE_PREFIX: Final = "role:"
OPENAI_DIALECTS: Final = frozenset((Dialect.CHAT, Dialect.COMPLETIONS, Dialect.EMBEDDINGS))
"""What nearly all who imitate OpenAI offer. Who has no such route says so when it is asked."""
_NO_NAME: Final = ModelName("")
_SALT_MIN: Final = float(1 << 26)
_WANT_THOUGHTS: Final = ("//api.deepseek.com", "//api.moonshot.", "//api.kimi.")


class ProviderKind(StrEnum):
    OPENAI_COMPATIBLE = "openai_compatible"
    ANTHROPIC = "anthropic"
    LITELLM = "litellm"
    SCRIPTED = "scripted"


class ReplyModel(StrEnum):
    """What the reply's `model` member says: the upstream's own bytes, or the name that the caller used."""

    UPSTREAM = "upstream"
    ALIAS = "alias"


class FinishRepair(StrEnum):
    """What a translated reply ends in that has tool calls and claims an ordinary end."""

    TOOL_CALLS = "tool_calls"
    KEEP = "keep"
    """What its provider said."""


class UnknownPrices(StrEnum):
    """What becomes of a call under a USD budget for a model that has no price."""

    REFUSE = "refuse"
    ASSUME = "assume"
    """It costs as the dearest model known of its provider."""


class Strategy(StrEnum):
    """How one deployment is chosen among those of a tier."""

    WEIGHTED = "weighted"
    LEAST_BUSY = "least_busy"
    LATENCY = "latency"
    COST = "cost"
    EXPECTED_TTFT = "expected_ttft"


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
    allow_private: bool = False
    """It may be at an address of a private network."""
    proxy: Secret | None = None
    """`http://user:password@host:port`"""


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
class Credential:
    """One of a provider's keys. Breakers and quotas are kept for each."""

    name: str = ""
    """Empty for a provider that has only one."""
    key: Secret | None = None
    """None: the provider asks for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    id: ProviderId
    kind: ProviderKind
    base_url: str = ""
    credentials: tuple[Credential, ...] = (Credential(),)
    """At least one."""
    timeouts: Timeouts
    network: Network = field(default_factory=Network)
    script: Script | None = None
    litellm_provider: str | None = None
    """What litellm calls it; None: its models' names say."""
    params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Further arguments for litellm, secrets among them."""
    keeps_finish: bool = False
    """Its translated replies end as it says, also where they have tool calls and claim an ordinary end."""

    @property
    def extends_chat(self) -> bool:
        """It knows what litellm added to Chat Completions, such as `cache_control`; OpenAI itself refuses that."""
        return self.kind is ProviderKind.LITELLM or "//openrouter.ai/" in self.base_url

    @property
    def wants_thoughts(self) -> bool:
        """It refuses tool calls that come back without the `reasoning_content` of which they came."""
        return any(host in self.base_url for host in _WANT_THOUGHTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One upstream model at one provider, reached with one credential.

    Names are stable across reloads. Limits are kept under `id`, which deployments that differ in the credential alone
    share; health, load and upstream limits under `target`.
    """

    id: DeploymentId
    provider: ProviderId
    upstream_model: str
    model: ModelName = _NO_NAME
    """The name behind which clients find it."""
    credential: str = ""
    tier: int = 1
    price: PriceCard | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    """Capabilities that the operator's own list leaves out. What a catalogue leaves out may be there all the same."""
    dialects: frozenset[Dialect] = OPENAI_DIALECTS
    """In which it can be asked as it is."""
    max_tokens_field: str | None = None
    """The member of the body that limits a reply here; None: as the caller wrote it."""
    weight: float = 1.0
    """Share of calls within the tier."""
    part_maxima: Mapping[PartKind, int] = field(default_factory=dict)
    """Tokens that one input part of a kind takes at most; a kind that is absent has no bound."""
    rate_limits: tuple[RateLimit, ...] = ()
    concurrency_limits: tuple[ConcurrencyLimit, ...] = ()
    adaptive: bool = False
    """Beside them, what it takes at once is found out (`domain/planning/adaptive.py`)."""
    target: TargetId = field(init=False)
    salt: float = field(init=False)
    """The target's own number, the same in every process: below twice the least, with a fraction of 26 bits."""

    def __post_init__(self) -> None:
        target = target_of(self.id, self.credential)
        digest = int.from_bytes(blake2b(target.encode(), digest_size=6).digest(), "big")
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "salt", _SALT_MIN * (1 + digest / (1 << 48)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Substitute:
    """A stand-in for a model, and the conditions that must all hold; None and False ask for nothing."""

    model: ModelName
    budget_used_pct: int | None = None
    """At or above, of the fullest budget on the call's path."""
    priority: str | None = None
    tag: str | None = None
    down: bool = False
    """No deployment of the model can take a call now."""
    late: bool = False
    """The call's deadline is nearer than the 95th percentile of the model's first token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A name that clients use, and the deployments behind it, lower tier first."""

    name: ModelName
    deployments: tuple[Deployment, ...]
    strategy: Strategy = Strategy.WEIGHTED
    fallbacks: tuple[ModelName, ...] = ()
    context_window_fallbacks: tuple[ModelName, ...] = ()
    content_policy_fallbacks: tuple[ModelName, ...] = ()
    substitutes: tuple[Substitute, ...] = ()
    quality: float | None = None
    """The operator's own figure; only its order counts."""
    quality_floor: float | None = None
    """No stand-in for this model may have less quality, or an unknown one."""
    reply_model: ReplyModel = ReplyModel.UPSTREAM
    targets: frozenset[TargetId] = field(init=False)
    """Of its deployments."""
    tiers: tuple[int, ...] = field(init=False)
    """Of its deployments, in order."""
    lacks: frozenset[str] = field(init=False)
    """Capabilities that some of them lack: in no others does a request matter."""
    window: int | None = field(init=False)
    """The smallest context window of them, if any is known."""
    dialects: frozenset[Dialect] = field(init=False)
    """In which each of them can be asked as it is."""
    even: bool = field(init=False)
    """All of them have the same weight."""
    bounded: bool = field(init=False)
    """One of them takes only so many calls at once."""
    rated: bool = field(init=False)
    """The operator has set a rate for one of them."""

    def __post_init__(self) -> None:
        windows = [one.context_window for one in self.deployments if one.context_window is not None]
        object.__setattr__(self, "targets", frozenset(one.target for one in self.deployments))
        object.__setattr__(self, "tiers", tuple(sorted({one.tier for one in self.deployments})))
        object.__setattr__(self, "lacks", frozenset().union(*[one.lacks for one in self.deployments]))
        object.__setattr__(self, "window", min(windows, default=None))
        dialects = [one.dialects for one in self.deployments]
        object.__setattr__(self, "dialects", frozenset.intersection(*dialects) if dialects else frozenset())
        object.__setattr__(self, "even", len({one.weight for one in self.deployments}) == 1)
        object.__setattr__(self, "bounded", any(one.concurrency_limits or one.adaptive for one in self.deployments))
        object.__setattr__(self, "rated", any(one.rate_limits for one in self.deployments))


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
    roles: Mapping[str, ModelName] = field(default_factory=dict)
    """Models behind `role:<name>`."""
    breaker: BreakerTerms = field(default_factory=BreakerTerms)
    retry: RetryTerms = field(default_factory=RetryTerms)
    affinity_ttl_ns: int | None = 300 * NS_PER_S
    """How long a conversation stays where its prompt cache is warm; None: it does not."""
    tree_budgets: tuple[Budget, ...] = ()
    """Of them, those whose account a call decides, not its key: by workflow, user, agent, tag, model, in this order."""
    priority_classes: tuple[str, ...] = STANDARD_CLASSES
    """Names, highest first."""
    unknown_prices: UnknownPrices = UnknownPrices.REFUSE
    keys_grace_ns: int = 300 * NS_PER_S
    """How long stored keys are good while nobody can look whether they still are."""
    budget_status: int = 429
    """HTTP status of a refusal by a used-up budget."""
    webhooks: tuple[Webhook, ...] = ()
    """Whom to tell of events."""

    def find_model(self, name: str) -> Model | None:
        """Resolve what a client asked for: a model's own name wins over a deployment named directly, then a role."""
        found = self.models.get(ModelName(name)) or self.direct.get(ModelName(name))
        if found is None and name.startswith(ROLE_PREFIX) and (model := self.roles.get(name[len(ROLE_PREFIX) :])):
            return self.models.get(model)
        return found
