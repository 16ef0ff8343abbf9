"""Compile settings into the snapshot that calls use: prices become integers, names resolved, secrets digests."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from urllib.parse import urlsplit

from router.config.availability import credentials_of, dialects_of, why_left_out
from router.config.compiling_limits import compile_concurrency_limits, compile_rate_limits
from router.config.compiling_tenants import all_budgets, compile_key, tenants_of
from router.config.first_start import is_loopback
from router.config.identity import id_of
from router.config.problems import ConfigInvalid, Problem, problem_in
from router.config.schema import Settings
from router.config.schema_controls import BreakerSettings, RetrySettings
from router.config.schema_models import (
    DeploymentSettings,
    InputMaximumSettings,
    ModelSettings,
    PriceSettings,
    RateSettings,
    SubstituteSettings,
)
from router.config.schema_providers import ProviderSettings
from router.config.tree import KeyPath, Node, format_path
from router.domain.catalog import (
    Credential,
    Deployment,
    FinishRepair,
    Model,
    Network,
    Provider,
    ProviderKind,
    Script,
    Snapshot,
    Strategy,
    Substitute,
    Timeouts,
)
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.retry import RetryTerms
from router.domain.events import EventType
from router.domain.governance.input_bound import PartKind
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.money import nano_usd
from router.domain.planning.needs import CAPABILITIES
from router.domain.pricing import Catalogue, ImageRate, ModelFacts, PriceCard, Rates, UnitRates
from router.domain.webhook import Webhook

_VERSION_DIGITS = 12
_DEPLOYMENT = "deployment"


def compile_snapshot(
    settings: Settings,
    *,
    revision: int,
    created_s: int,
    catalogue: Catalogue,
    fingerprint: str,
    tree: Node | None = None,
) -> Snapshot:
    """Compile everything that can serve in this release; `notices` says what was left out.

    Asks the catalogue only about deployments that do not say everything themselves. Raises `ConfigInvalid` for a
    `price_as` that it does not know; `tree` (of `Loaded`) gives the line.
    """
    compiler = _Compiler(settings, catalogue, f"config:{fingerprint[:_VERSION_DIGITS]}")
    models = {model.name: model for model in compiler.models()}
    if compiler.unknown_prices:
        raise ConfigInvalid(_unknown_price(path, name, tree) for path, name in compiler.unknown_prices)
    tenants = tenants_of(settings)
    keys = [compile_key(key, tenants, mode=settings.mode) for key in settings.keys]
    return Snapshot(
        revision=revision,
        fingerprint=fingerprint,
        providers=MappingProxyType(compiler.providers),
        models=MappingProxyType(models),
        keys=MappingProxyType({entry.sha256: entry for entry in keys}),
        created_s=created_s,
        direct=MappingProxyType(_direct(models)),
        users=tenants.users,
        budgets=all_budgets(tenants, keys),
        tree_budgets=tenants.tree_budgets,
        priority_classes=tuple(one.name for one in settings.priority.classes),
        unknown_prices=settings.prices.unknown,
        keys_grace_ns=settings.store.keys_grace,
        budget_status=settings.errors.budget_status,
        roles=MappingProxyType({role: ModelName(model) for role, model in settings.roles.items()}),
        breaker=_compile_breaker(settings.breaker),
        retry=_compile_retry(settings.retry),
        affinity_ttl_ns=settings.affinity.ttl if settings.affinity.enabled else None,
        webhooks=webhooks_of(settings),
    )


def _compile_breaker(breaker: BreakerSettings) -> BreakerTerms:
    return BreakerTerms(
        window_ns=breaker.window,
        min_calls=breaker.min_calls,
        failure_rate=breaker.failure_rate,
        consecutive_failures=breaker.consecutive_failures,
        slow_call_ns=breaker.slow_call,
        slow_call_rate=breaker.slow_call_rate,
        open_ns=breaker.open,
        open_max_ns=breaker.open_max,
        probes=breaker.probes,
    )


def _compile_retry(retry: RetrySettings) -> RetryTerms:
    return RetryTerms(
        attempts_per_deployment=retry.attempts_per_deployment,
        attempts_total=retry.attempts_total,
        ratio_pct=retry.retry_ratio_pct,
        backoff_base_ns=retry.backoff_base,
        backoff_cap_ns=retry.backoff_cap,
    )


def _unknown_price(path: KeyPath, name: str, tree: Node | None) -> Problem:
    message, fix = f"'{name}' is not in the price catalogue", "write its provider/model, or a price of your own"
    if tree is None:
        return Problem(path=format_path(path), message=message, fix=fix)
    return problem_in(tree, path, message, fix)


class _Compiler:
    """Compile models; keep what the deployments share."""

    def __init__(self, settings: Settings, catalogue: Catalogue, price_version: str) -> None:
        self._settings = settings
        self._by_name = {provider.name: provider for provider in settings.providers}
        self._look_up = cache(catalogue)
        self._price_version = price_version
        self.providers = {
            ProviderId(provider.name): _compile_provider(provider)
            for provider in settings.providers
            if why_left_out(provider) is None
        }
        self.unknown_prices: list[tuple[KeyPath, str]] = []

    def models(self) -> Iterator[Model]:
        """Yield the models that have a deployment left, each deployment list ordered by tier."""
        for index, model in enumerate(self._settings.models):
            deployments = tuple(sorted(self._deployments(index, model), key=lambda deployment: deployment.tier))
            if deployments:
                yield Model(
                    name=ModelName(model.name),
                    deployments=deployments,
                    strategy=Strategy(model.strategy),
                    fallbacks=tuple(map(ModelName, model.fallbacks)),
                    context_window_fallbacks=tuple(map(ModelName, model.context_window_fallbacks)),
                    content_policy_fallbacks=tuple(map(ModelName, model.content_policy_fallbacks)),
                    substitutes=tuple(map(_compile_substitute, model.substitutes)),
                    quality=model.quality,
                    quality_floor=model.quality_floor,
                    reply_model=model.reply_model,
                )

    def _deployments(self, row: int, model: ModelSettings) -> Iterator[Deployment]:
        for column, deployment in enumerate(model.deployments):
            provider = self.providers.get(ProviderId(deployment.provider))
            if provider is None:
                continue
            # The weight is the deployment's: its credentials share it.
            compiled = self._compile(deployment, ("models", row, "deployments", column))
            weight = compiled.weight / len(provider.credentials)
            for credential in provider.credentials:
                yield replace(compiled, model=ModelName(model.name), credential=credential.name, weight=weight)

    def _compile(self, deployment: DeploymentSettings, path: KeyPath) -> Deployment:
        facts = self._facts(deployment, path)
        price, named = deployment.price, id_of(deployment)
        return Deployment(
            id=DeploymentId(named),
            provider=ProviderId(deployment.provider),
            upstream_model=deployment.model,
            tier=deployment.tier,
            price=_compile_price(price, self._price_version) if price else facts.price,
            context_window=deployment.context_window or facts.context_window,
            max_output_tokens=deployment.max_output_tokens or facts.max_output_tokens,
            capabilities=facts.capabilities if deployment.capabilities is None else frozenset(deployment.capabilities),
            lacks=frozenset() if deployment.capabilities is None else CAPABILITIES - frozenset(deployment.capabilities),
            dialects=dialects_of(self._by_name[deployment.provider]),
            max_tokens_field=deployment.max_tokens_field,
            weight=deployment.weight,
            part_maxima=_part_maxima(deployment.input_maximum),
            rate_limits=compile_rate_limits(_DEPLOYMENT, named, deployment.limits),
            concurrency_limits=(
                *compile_concurrency_limits(_DEPLOYMENT, named, deployment.limits),
                *_compile_limit_of_all(self._settings.concurrency.limit, named),
            ),
            adaptive=self._settings.concurrency.limit == "auto",
        )

    def _facts(self, deployment: DeploymentSettings, path: KeyPath) -> ModelFacts:
        """Ask the catalogue about what the deployment does not say: as `price_as` first, then by its own name."""
        own = (deployment.price, deployment.context_window, deployment.max_output_tokens, deployment.capabilities)
        provider = self._by_name[deployment.provider]
        if None not in own or provider.kind is ProviderKind.SCRIPTED:
            return ModelFacts()
        named = self._look_up(deployment.price_as) if deployment.price_as else None
        if deployment.price_as and named is None:
            self.unknown_prices.append(((*path, "price_as"), deployment.price_as))
        same = self._look_up(catalogue_name(provider, deployment))
        first, second = named or ModelFacts(), same or ModelFacts()
        return ModelFacts(
            price=first.price or second.price,
            context_window=second.context_window or first.context_window,
            max_output_tokens=second.max_output_tokens or first.max_output_tokens,
            capabilities=second.capabilities or first.capabilities,
        )


def catalogue_name(provider: ProviderSettings, deployment: DeploymentSettings) -> str:
    """Return the name by which a catalogue knows what a deployment serves."""
    return f"{provider.litellm_provider or provider.preset or provider.name}/{deployment.model}"


def _compile_network(provider: ProviderSettings) -> Network:
    network, host = provider.network, urlsplit(provider.base_url).hostname or ""
    return Network(
        ca_file=network.ca_file,
        headers=tuple((name, value.reveal()) for name, value in network.headers.items()),
        allow_private=is_loopback(host) if network.allow_private is None else network.allow_private,
        proxy=network.proxy if network.proxy is not None and network.proxy.reveal() else None,
    )


def _compile_limit_of_all(limit: int | str, named: str) -> tuple[ConcurrencyLimit, ...]:
    """Compile the number of `concurrency.limit` for one deployment, kept apart from that of its own limits."""
    if not isinstance(limit, int):
        return ()
    return (ConcurrencyLimit(id=f"{_DEPLOYMENT}/{named}/all", scope_kind=_DEPLOYMENT, scope_value=named, limit=limit),)


def _part_maxima(declared: InputMaximumSettings) -> Mapping[PartKind, int]:
    return MappingProxyType({kind: most for kind in PartKind if (most := getattr(declared, kind)) is not None})


def _direct(models: Mapping[ModelName, Model]) -> dict[ModelName, Model]:
    """Name every deployment as provider/model and provider:model; where two share a name, the first one has it."""
    direct: dict[ModelName, Model] = {}
    for model in models.values():
        for deployment in model.deployments:
            alike = tuple(other for other in model.deployments if other.id == deployment.id)
            for joint in "/:":
                name = ModelName(f"{deployment.provider}{joint}{deployment.upstream_model}")
                alone = Model(name=name, deployments=alike, strategy=model.strategy, reply_model=model.reply_model)
                direct.setdefault(name, alone)
    return direct


def _compile_substitute(substitute: SubstituteSettings) -> Substitute:
    when = substitute.when
    return Substitute(
        model=ModelName(substitute.model),
        budget_used_pct=None if when.budget_used_pct is None else when.budget_used_pct.gte,
        priority=when.priority,
        tag=when.tag,
        down=when.down,
        late=when.late,
    )


def _compile_provider(provider: ProviderSettings) -> Provider:
    timeouts, script = provider.timeouts, provider.script
    scripted = provider.kind is ProviderKind.SCRIPTED
    return Provider(
        id=ProviderId(provider.name),
        kind=provider.kind,
        base_url=provider.base_url,
        credentials=credentials_of(provider) or (Credential(),),
        timeouts=Timeouts(
            connect_ns=timeouts.connect,
            stream_first_event_ns=timeouts.stream_first_event,
            stream_idle_ns=timeouts.stream_idle,
            total_ns=timeouts.total,
        ),
        network=_compile_network(provider),
        script=(
            Script(
                first_token_ns=script.first_token,
                tokens_per_s=script.tokens_per_s,
                reply=script.reply,
                reply_tokens=script.reply_tokens,
                error_rate=script.error_rate,
                error_status=script.error_status,
                cut_after_tokens=script.cut_after_tokens,
                report_usage=script.report_usage,
            )
            if script
            else Script()
        )
        if scripted
        else None,
        litellm_provider=provider.litellm_provider,
        params=tuple(provider.params.items()),
        keeps_finish=provider.repair.finish_reason is FinishRepair.KEEP,
    )


def webhooks_of(settings: Settings) -> tuple[Webhook, ...]:
    """Compile the receivers of events; one that names no type wants all."""
    return tuple(
        Webhook(url=webhook.url, secret=webhook.secret, events=frozenset(webhook.events or EventType))
        for webhook in settings.webhooks
    )


def _compile_price(price: PriceSettings, version: str) -> PriceCard:
    steps = sorted(price.above, key=lambda step: step.input_tokens)
    return PriceCard(
        version=version,
        base=_compile_rates(price),
        above=tuple((step.input_tokens, _compile_rates(step)) for step in steps),
        per_request=nano_usd(price.request),
        per_second=nano_usd(price.second),
        units=_compile_units(price) if price.has_units else None,
    )


def _compile_units(price: PriceSettings) -> UnitRates:
    return UnitRates(
        image=_per_million(price.per_image),
        images=tuple(
            ImageRate(quality=one.quality, size=one.size, rate=_per_million(one.per_image)) for one in price.images
        ),
        character=_per_million(price.per_character),
        audio_ms=_per_million(price.per_second_audio, thousandths=True),
        query=_per_million(price.per_query),
    )


def _per_million(usd: Decimal | None, *, thousandths: bool = False) -> int:
    """Turn the price of one unit into nano-USD per million of them, or of its thousandths."""
    return 0 if usd is None else nano_usd(usd.scaleb(3 if thousandths else 6))


def _compile_rates(rates: RateSettings) -> Rates:
    """USD per million tokens are, in nano-USD, exact down to $0.000000001 per million; beyond, rounded up."""
    cached = rates.input if rates.cached_input is None else rates.cached_input
    written = rates.input if rates.cache_write is None else rates.cache_write
    return Rates(
        input=nano_usd(rates.input),
        cached_input=nano_usd(cached),
        cache_write=nano_usd(written),
        output=nano_usd(rates.output),
    )
