"""Put the sections together: the whole of an operator's configuration, typed, bounded, frozen."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from router.config.schema_budgets import ScopedBudgetSettings
from router.config.schema_controls import (
    BreakerSettings,
    ConcurrencySettings,
    LoopSettings,
    PrioritySettings,
    RetrySettings,
    WorkflowSettings,
)
from router.config.schema_models import ModelSettings, PricesSettings
from router.config.schema_providers import ProviderSettings
from router.config.schema_server import ServerSettings
from router.config.schema_services import (
    AffinitySettings,
    CacheSettings,
    ErrorSettings,
    IdempotencySettings,
    LoggingSettings,
    WebhookSettings,
)
from router.config.schema_store import RetentionSettings, SharedSettings, StoreSettings
from router.config.schema_tenants import KeySettings, OrganizationSettings, UserSettings
from router.config.units import ModelAlias
from router.domain.principal import Mode


class Settings(BaseSettings):
    """The effective configuration. Secrets in it show as `***`, whoever prints it."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix="CHECKREIN_",
        env_nested_delimiter="__",
        env_parse_none_str="null",
    )

    version: Annotated[int, Field(ge=1, le=1)] = Field(default=1, description="Version of this format.")
    mode: Mode = Field(
        default=Mode.ENFORCE, description="`observe` decides and records what it would refuse, and refuses nothing."
    )
    server: ServerSettings = Field(default=ServerSettings(), description="Listeners and processes.")
    store: StoreSettings = Field(default=StoreSettings(), description="The ledger.")
    shared: SharedSettings = Field(default=SharedSettings(), description="What replicas share.")
    retention: RetentionSettings = Field(default=RetentionSettings(), description="What is kept for how long.")
    providers: tuple[ProviderSettings, ...] = Field(default=(), description="Where models run.")
    models: tuple[ModelSettings, ...] = Field(default=(), description="What clients may ask for.")
    roles: dict[str, ModelAlias] = Field(default={}, description="Models behind `role:<name>`.")
    prices: PricesSettings = Field(default=PricesSettings(), description="Prices that no deployment states.")
    organizations: tuple[OrganizationSettings, ...] = Field(default=(), description="Tenants.")
    users: tuple[UserSettings, ...] = Field(default=(), description="Users that have a budget or limits.")
    budgets: tuple[ScopedBudgetSettings, ...] = Field(default=(), description="Budgets across tenants.")
    keys: tuple[KeySettings, ...] = Field(default=(), description="Keys that clients send.")
    workflows: WorkflowSettings = Field(default=WorkflowSettings(), description="Caps of agents' workflows.")
    loops: LoopSettings = Field(default=LoopSettings(), description="Agents that repeat themselves.")
    priority: PrioritySettings = Field(default=PrioritySettings(), description="Who goes first.")
    concurrency: ConcurrencySettings = Field(default=ConcurrencySettings(), description="Calls at a deployment.")
    breaker: BreakerSettings = Field(default=BreakerSettings(), description="Leaving failing deployments alone.")
    retry: RetrySettings = Field(default=RetrySettings(), description="Trying again.")
    cache: CacheSettings = Field(default=CacheSettings(), description="Answers from memory.")
    idempotency: IdempotencySettings = Field(default=IdempotencySettings(), description="Requests sent twice.")
    affinity: AffinitySettings = Field(default=AffinitySettings(), description="Warm prompt caches.")
    errors: ErrorSettings = Field(default=ErrorSettings(), description="How refusals look.")
    webhooks: tuple[WebhookSettings, ...] = Field(default=(), description="Whom to tell.")
    logging: LoggingSettings = Field(default=LoggingSettings(), description="Log lines.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what the loader merged: it reads the environment itself, to know where each value is from."""
        return (init_settings,)
