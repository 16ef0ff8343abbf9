import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from router.config import ConfigInvalid, Loaded, compile_snapshot, load
from router.domain.catalog import (
    OPENAI_DIALECTS,
    Network,
    ProviderKind,
    Script,
    Snapshot,
    Strategy,
    Substitute,
    UnknownPrices,
)
from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.breaker import BreakerTerms
from router.domain.dispatch.retry import RetryTerms
from router.domain.events import EventType
from router.domain.governance.input_bound import PartKind
from router.domain.ids import ModelName, ProviderId
from router.domain.money import NanoUsd
from router.domain.pricing import ImageRate, ModelFacts, PriceCard, Rates, UnitRates
from router.domain.principal import Mode, Permission
from router.domain.secret import Secret
from router.domain.webhook import Webhook
from tests.unit.config.conftest import Load, sources

CARD = PriceCard(version="litellm-1", base=Rates(input=1, cached_input=2, cache_write=3, output=4))
FACTS = ModelFacts(price=CARD, context_window=1_000, max_output_tokens=100, capabilities=frozenset({"tools"}))
CONTRACT = Path(__file__).parents[2] / "support" / "contract.yaml"
PROVIDERS = """
providers:
  - { name: openai, api_key: sk-provider }
  - { name: demo, kind: scripted, script: { first_token: 20ms, tokens_per_s: 200, reply: hi } }
  - { name: keyless, kind: anthropic, base_url: "https://a/v1", required: false }
"""


class Catalogue:
    """Knows what it is told, and remembers what it was asked."""

    def __init__(self, **known: ModelFacts) -> None:
        self.known = {name.replace("__", "/"): facts for name, facts in known.items()}
        self.asked: list[str] = []

    def __call__(self, name: str) -> ModelFacts | None:
        self.asked.append(name)
        return self.known.get(name)


def build(loaded: Loaded, catalogue: Catalogue | None = None) -> Snapshot:
    return compile_snapshot(
        loaded.settings,
        revision=7,
        created_s=1_800_000_000,
        catalogue=catalogue or Catalogue(),
        fingerprint=loaded.fingerprint,
        tree=loaded.tree,
    )


def models(*deployments: str, rest: str = "") -> str:
    return PROVIDERS + f"models: [{{ name: m, deployments: [{', '.join(deployments)}] {rest} }}]\n"


def test_prices_become_exact_integers_of_their_digits(load_text: Load) -> None:
    price = "input: 2.10, cached_input: 0.1000000001, cache_write: 2.625, output: 10, request: 0.01, second: 1e-9"
    loaded = load_text(models(f"{{ provider: openai, model: x, price: {{ {price} }} }}"))
    card = build(loaded).models[ModelName("m")].deployments[0].price

    assert card == PriceCard(
        version=f"config:{loaded.fingerprint[:12]}",
        base=Rates(input=2_100_000_000, cached_input=100_000_001, cache_write=2_625_000_000, output=10_000_000_000),
        per_request=NanoUsd(10_000_000),
        per_second=NanoUsd(1),
    )


def test_prices_by_other_units_are_exact_and_leave_tokens_free(load_text: Load) -> None:
    price = (
        "per_image: 0.04, images: [{ quality: hd, size: 1024x1024, per_image: 0.08 }, { quality: hd, per_image: 1 }], "
    )
    price += "per_character: 0.000015, per_second_audio: 0.00003083, per_query: 0.002"
    loaded = load_text(models(f"{{ provider: openai, model: x, price: {{ {price} }} }}"))
    card = build(loaded).models[ModelName("m")].deployments[0].price

    assert card is not None
    assert not card.charges_tokens
    assert card.units == UnitRates(
        image=40_000_000 * 10**6,
        images=(
            ImageRate(quality="hd", size="1024x1024", rate=80_000_000 * 10**6),
            ImageRate(quality="hd", size=None, rate=10**9 * 10**6),
        ),
        character=15_000 * 10**6,
        audio_ms=30_830_000,
        query=2_000_000 * 10**6,
    )


def test_cached_and_written_tokens_cost_as_input_unless_said(load_text: Load) -> None:
    text = models(
        "{ provider: openai, model: x, price: { input: 3, output: 4, "
        "above: [{ input_tokens: 9, input: 7, output: 8 }, { input_tokens: 5, input: 5, output: 6 }] } }"
    )
    card = build(load_text(text)).models[ModelName("m")].deployments[0].price

    assert card is not None
    assert [3, 3, 3, 4] == _usd(card.base)
    assert [(5, [5, 5, 5, 6]), (9, [7, 7, 7, 8])] == [(tokens, _usd(rates)) for tokens, rates in card.above]


def _usd(rates: Rates) -> list[int]:
    return [each // 10**9 for each in (rates.input, rates.cached_input, rates.cache_write, rates.output)]


@pytest.mark.parametrize(
    ("deployment", "known", "version"),
    [
        ("price: { input: 1, output: 1 }, price_as: b/y", {"b__y": FACTS, "openai__x": FACTS}, "config"),
        (
            "price_as: b/y",
            {"b__y": FACTS, "openai__x": replace(FACTS, price=replace(CARD, version="no"))},
            "litellm-1",
        ),
        ("tier: 1", {"openai__x": FACTS}, "litellm-1"),
        ("tier: 1", {}, None),
    ],
)
def test_the_own_price_wins_over_price_as_over_the_own_name(
    load_text: Load, deployment: str, known: dict[str, ModelFacts], version: str | None
) -> None:
    loaded = load_text(models(f"{{ provider: openai, model: x, {deployment} }}"))
    card = build(loaded, Catalogue(**known)).models[ModelName("m")].deployments[0].price

    assert version == (card.version.partition(":")[0] if card else None)


def test_what_a_deployment_says_wins_over_the_catalogue(load_text: Load) -> None:
    own = "{ provider: openai, model: x, context_window: 5, capabilities: [] }"
    deployment = build(load_text(models(own)), Catalogue(openai__x=FACTS)).models[ModelName("m")].deployments[0]

    assert (5, 100, frozenset(), CARD) == (
        deployment.context_window,
        deployment.max_output_tokens,
        deployment.capabilities,
        deployment.price,
    )


def test_the_catalogue_is_asked_only_about_what_is_not_said(load_text: Load) -> None:
    whole = "price: { input: 1, output: 1 }, context_window: 1, max_output_tokens: 1, capabilities: [tools]"
    catalogue = Catalogue(openai__y=FACTS)
    build(
        load_text(
            models(
                f"{{ provider: openai, model: x, {whole} }}",
                "{ provider: openai, model: y }",
                "{ provider: openai, model: y, tier: 2 }",
                "{ provider: demo, model: z }",
            )
        ),
        catalogue,
    )

    assert ["openai/y"] == catalogue.asked


def test_a_provider_is_looked_up_by_its_preset(load_text: Load) -> None:
    catalogue = Catalogue()
    build(
        load_text(
            "providers: [{ name: eu, preset: openai, api_key: k }]\n"
            "models: [{ name: m, deployments: [{ provider: eu, model: x }] }]"
        ),
        catalogue,
    )

    assert ["openai/x"] == catalogue.asked


def test_an_unknown_price_as_is_a_problem_with_its_line(load_text: Load) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        build(load_text(models("{ provider: openai, model: x, price_as: open/gpt }")))

    problem = caught.value.problems[0]
    assert ("models[0].deployments[0].price_as", 6) == (problem.path, problem.line)
    assert "'open/gpt' is not in the price catalogue" == problem.message


def test_deployments_stand_in_the_order_of_their_tiers(load_text: Load) -> None:
    text = models(
        *(f"{{ provider: demo, model: {name}, tier: {tier} }}" for name, tier in [("c", 2), ("a", 1), ("b", 1)])
    )

    assert ["a", "b", "c"] == [d.upstream_model for d in build(load_text(text)).models[ModelName("m")].deployments]


def test_what_cannot_serve_is_left_out_and_a_model_without_deployments_with_it(load_text: Load) -> None:
    text = models("{ provider: keyless, model: x }", "{ provider: demo, model: y }")
    snapshot = build(load_text(text))
    alone = build(load_text(models("{ provider: keyless, model: x }")))

    assert {"openai", "demo"} == set(snapshot.providers)
    assert ["demo/y"] == [deployment.id for deployment in snapshot.models[ModelName("m")].deployments]
    assert {} == dict(alone.models) == dict(alone.direct)


def test_every_deployment_can_be_named_directly_and_a_model_of_that_name_wins(load_text: Load) -> None:
    text = models("{ provider: demo, model: y, name: stable }", rest=", reply_model: alias")
    snapshot = build(load_text(text))
    direct = snapshot.find_model("demo/y")

    assert {"demo/y", "demo:y"} == set(snapshot.direct)
    assert direct is not None
    assert ["stable"] == [deployment.id for deployment in direct.deployments]


@pytest.mark.parametrize(("repair", "keeps"), [("", False), (", repair: { finish_reason: keep }", True)])
def test_a_provider_is_compiled_with_what_is_repaired(repair: str, keeps: bool, load_text: Load) -> None:
    text = PROVIDERS.replace("sk-provider }", f"sk-provider{repair} }}")

    assert keeps is build(load_text(text)).providers[ProviderId("openai")].keeps_finish


def test_a_provider_is_compiled_with_its_key_its_waits_and_its_script(load_text: Load) -> None:
    text = PROVIDERS.replace(
        "sk-provider }", "sk-provider, timeouts: { connect: 1s }, network: { headers: { x-a: b } } }"
    )
    providers = build(load_text(text)).providers
    openai, demo = providers[ProviderId("openai")], providers[ProviderId("demo")]

    assert ("sk-provider", 10**9, (("x-a", "b"),), None) == (
        "".join(one.key.reveal() for one in openai.credentials if one.key),
        openai.timeouts.connect_ns,
        openai.network.headers,
        openai.script,
    )
    assert (ProviderKind.SCRIPTED, Script(first_token_ns=20_000_000, tokens_per_s=200.0, reply="hi")) == (
        demo.kind,
        demo.script,
    )


NETWORK = """
providers:
  - name: far
    kind: openai_compatible
    base_url: https://far.test/v1
    api_key: none
    network: { ca_file: /etc/hostname, headers: { x-a: b }, allow_private: true, proxy: "http://p:1" }
  - { name: near, kind: openai_compatible, base_url: https://near.test/v1, api_key: none, network: { proxy: "" } }
"""


def test_a_network_is_compiled_with_the_way_there(load_text: Load) -> None:
    providers = build(load_text(NETWORK)).providers

    assert Network(
        ca_file="/etc/hostname", headers=(("x-a", "b"),), allow_private=True, proxy=Secret("http://p:1")
    ) == (providers[ProviderId("far")].network)
    assert Network() == providers[ProviderId("near")].network


DIALECTS = """
models:
  - name: all
    deployments:
      - { provider: openai, model: m }
      - { provider: anthropic, model: m }
      - { provider: mistral, model: m }
      - { provider: own, model: m }
providers:
  - { name: openai, api_key: sk-provider }
  - { name: anthropic, api_key: sk-provider }
  - { name: mistral, api_key: sk-provider }
  - { name: own, preset: openai, api_key: sk-provider, dialects: [chat] }
"""


def test_what_a_provider_speaks_is_said_or_known_of_its_preset_or_kind(load_text: Load) -> None:
    snapshot = build(load_text(DIALECTS))
    spoken = {one.provider: one.dialects for model in snapshot.models.values() for one in model.deployments}

    assert {
        "openai": OPENAI_DIALECTS | {Dialect.RESPONSES, Dialect.IMAGES, Dialect.AUDIO, Dialect.MODERATIONS},
        "anthropic": {Dialect.MESSAGES},
        "mistral": OPENAI_DIALECTS,
        "own": {Dialect.CHAT},
    } == spoken


def test_a_deployment_is_compiled_once_for_each_credential_and_they_share_its_weight(load_text: Load) -> None:
    text = PROVIDERS.replace("api_key: sk-provider", "credentials: [{ name: a, api_key: k }, { name: b, api_key: l }]")
    models = build(load_text(text + "models: [{ name: m, deployments: [{ provider: openai, model: x, weight: 3 }] }]"))
    first, second = models.models[ModelName("m")].deployments

    assert ("openai/x#a", "openai/x#b", 1.5, 1.5) == (first.target, second.target, first.weight, second.weight)
    assert {"openai/x"} == {first.id, second.id}
    assert models.models[ModelName("m")].deployments == models.direct[ModelName("openai/x")].deployments


def test_a_model_is_compiled_with_what_may_take_its_place(load_text: Load) -> None:
    text = PROVIDERS + (
        "roles: { fast: n }\n"
        "affinity: { enabled: false }\n"
        "models:\n"
        "  - { name: n, quality: 3, deployments: [{ provider: demo, model: y, capabilities: [tools, own] }] }\n"
        "  - name: m\n"
        "    strategy: cost\n"
        "    quality_floor: 2\n"
        "    deployments: [{ provider: demo, model: x }]\n"
        "    fallbacks: [n]\n"
        "    context_window_fallbacks: [n]\n"
        "    content_policy_fallbacks: [n]\n"
        "    substitutes: [{ model: n, when: { budget_used_pct: { gte: 80 }, tag: t, down: true, late: true } }]\n"
    )
    found = build(load_text(text))
    model, other = found.models[ModelName("m")], found.models[ModelName("n")]

    assert (Strategy.COST, 2, 3) == (model.strategy, model.quality_floor, other.quality)
    assert 3 * (("n",),) == (model.fallbacks, model.context_window_fallbacks, model.content_policy_fallbacks)
    assert (Substitute(model=ModelName("n"), budget_used_pct=80, tag="t", down=True, late=True),) == model.substitutes
    assert other is found.find_model("role:fast")
    assert found.find_model("role:none") is None
    assert found.affinity_ttl_ns is None
    assert "vision" in other.deployments[0].lacks
    assert "tools" not in other.deployments[0].lacks
    assert not model.deployments[0].lacks


@pytest.mark.parametrize(
    ("limit", "limits", "adaptive"),
    [
        ("none", [("deployment/demo/x/concurrency", 3)], False),
        ("7", [("deployment/demo/x/concurrency", 3), ("deployment/demo/x/all", 7)], False),
        ("auto", [("deployment/demo/x/concurrency", 3)], True),
    ],
)
def test_the_limit_of_all_deployments_comes_beside_their_own(
    load_text: Load, limit: str, limits: list[tuple[str, int]], adaptive: bool
) -> None:
    text = PROVIDERS + f"concurrency: {{ limit: {limit} }}\n"
    text += "models: [{ name: m, deployments: [{ provider: demo, model: x, limits: { concurrency: 3 } }] }]"
    (found,) = build(load_text(text)).models[ModelName("m")].deployments

    assert limits == [(one.id, one.limit) for one in found.concurrency_limits]
    assert adaptive == found.adaptive


def test_breakers_and_retries_have_the_settings_of_the_file(load_text: Load) -> None:
    breaker = "breaker: { open: 1s, min_calls: 3, slow_call: 10s, slow_call_rate: 1 }"
    text = f"{PROVIDERS}{breaker}\nretry: {{ attempts_total: 2, backoff_cap: 1s }}"
    found = build(load_text(text))

    assert BreakerTerms(open_ns=10**9, min_calls=3, slow_call_ns=10**10, slow_call_rate=1.0) == found.breaker
    assert RetryTerms(attempts_total=2, backoff_cap_ns=10**9) == found.retry
    assert BreakerTerms() == build(load_text(PROVIDERS)).breaker
    assert RetryTerms() == build(load_text(PROVIDERS)).retry


def test_keys_are_known_by_the_digest_of_their_secret(load_text: Load) -> None:
    digest = hashlib.sha256(b"sk-of-a-service").hexdigest()
    text = f"""
organizations: [{{ name: acme, teams: [{{ name: platform }}] }}]
keys:
  - {{ name: mine, key: sk-work-local, team: acme/platform, user: u, models: ["gpt-*"], expires: 1970-01-02 }}
  - {{ name: service, key_sha256: {digest.upper()}, revoked: true }}
  - {{ name: root, key: sk-administrator, permissions: [admin] }}
"""
    keys = build(load_text(text)).keys
    mine, service, root = (
        keys[hashlib.sha256(secret).digest()] for secret in (b"sk-work-local", b"sk-of-a-service", b"sk-administrator")
    )

    assert (True, 86_400 * 10**9, False) == (mine.local_only, mine.expires_ns, mine.revoked)
    assert ("mine", "acme", "platform", "u", ("gpt-*",)) == (
        mine.principal.key_id,
        mine.principal.organization,
        mine.principal.team,
        mine.principal.user,
        mine.principal.models,
    )
    assert (False, True, frozenset({Permission.INFERENCE})) == (
        service.local_only,
        service.revoked,
        service.principal.permissions,
    )
    assert frozenset({Permission.ADMIN, Permission.INFERENCE}) == root.principal.permissions


def test_the_snapshot_bears_its_revision_and_cannot_be_changed(load_text: Load) -> None:
    loaded = load_text(PROVIDERS)
    snapshot = build(loaded)

    assert (7, 1_800_000_000, loaded.fingerprint) == (snapshot.revision, snapshot.created_s, snapshot.fingerprint)
    with pytest.raises(TypeError):
        snapshot.providers[ProviderId("x")] = snapshot.providers[ProviderId("demo")]  # type: ignore[index]


def test_price_as_also_tells_the_window_of_a_deployment_that_the_catalogue_does_not_know(load_text: Load) -> None:
    loaded = load_text(models(*(f"{{ provider: openai, model: {name}, price_as: b/y }}" for name in ("ours", "x"))))
    catalogue = Catalogue(b__y=replace(FACTS, context_window=1), openai__x=replace(FACTS, context_window=2))
    deployments = build(loaded, catalogue).models[ModelName("m")].deployments

    assert [1, 2] == [deployment.context_window for deployment in deployments]


def test_of_two_deployments_of_one_name_the_first_is_the_direct_one(load_text: Load) -> None:
    named = (f"{{ provider: demo, model: y, name: {name} }}" for name in ("a", "b"))
    direct = build(load_text(models(*named))).direct[ModelName("demo/y")]

    assert ["a"] == [deployment.id for deployment in direct.deployments]


def test_a_deployment_has_its_limits_its_weight_and_the_maxima_of_its_parts(load_text: Load) -> None:
    limits = "limits: { rpm: 5, input_tpm: 6, concurrency: 7 }"
    rest = "weight: 2, max_tokens_field: max_tokens, input_maximum: { image: 1600, file: 9 }"
    deployments = (f"{{ provider: demo, model: y, {limits}, {rest} }}", "{ provider: demo, model: z }")
    full, bare = build(load_text(models(*deployments))).models[ModelName("m")].deployments

    assert [("deployment/demo/y/rpm", 5), ("deployment/demo/y/input_tpm", 6)] == [
        (limit.id, limit.limit) for limit in full.rate_limits
    ]
    assert [("deployment/demo/y/concurrency", "demo/y", 7)] == [
        (limit.id, limit.scope_value, limit.limit) for limit in full.concurrency_limits
    ]
    assert (2.0, "max_tokens") == (full.weight, full.max_tokens_field)
    assert {PartKind.IMAGE: 1600, PartKind.FILE: 9} == full.part_maxima
    assert (1.0, None, {}, (), ()) == (
        bare.weight,
        bare.max_tokens_field,
        dict(bare.part_maxima),
        bare.rate_limits,
        bare.concurrency_limits,
    )


def test_the_contract_is_compiled_with_all_its_budgets(tmp_path: Path) -> None:
    loaded = load(sources(tmp_path, explicit=CONTRACT))
    snapshot = build(loaded, Catalogue())
    ci = snapshot.keys[hashlib.sha256(b"sk-local").digest()].principal

    assert {
        "key/ci/usd/day@UTC": 1_000_000_000,
        "team/acme/platform/usd/day@UTC": 200_000_000_000,
        "organization/acme/usd/month@UTC": 1_000_000_000_000,
        "budget/crawler/agent=crawler/usd/rolling-1d": 20_000_000_000,
    } == {name: budget.limit for name, budget in snapshot.budgets.items()}
    assert ["budget/crawler/agent=crawler/usd/rolling-1d"] == [budget.id for budget in snapshot.tree_budgets]
    assert ["key/ci/usd/day@UTC", "team/acme/platform/usd/day@UTC", "organization/acme/usd/month@UTC"] == [
        budget for budget, _ in ci.accounts
    ]
    assert (UnknownPrices.REFUSE, 429, Mode.ENFORCE) == (snapshot.unknown_prices, snapshot.budget_status, ci.mode)


def test_the_snapshot_says_what_refusals_and_prices_the_operator_asked_for(load_text: Load) -> None:
    rest = "users: [{ name: ann, limits: { rpm: 5 } }]\nkeys: [{ name: k, key: sk-12345678 }]\nmode: observe\n"
    rest += "workflows: { budget_usd: 2 }\nprices: { unknown: assume }\nerrors: { budget_status: 402 }"
    snapshot = build(load_text(PROVIDERS + rest))

    assert (UnknownPrices.ASSUME, 402) == (snapshot.unknown_prices, snapshot.budget_status)
    assert ["user/ann/rpm"] == [limit.id for limit in snapshot.users["ann"].rate_limits]
    assert ["workflow/*/usd/lifetime"] == list(snapshot.budgets) == [budget.id for budget in snapshot.tree_budgets]
    assert [Mode.OBSERVE] == [entry.principal.mode for entry in snapshot.keys.values()]


def test_a_webhook_without_types_wants_all_of_them(load_text: Load) -> None:
    text = "webhooks: [{ url: 'https://a', secret: s }, { url: 'https://b', events: [loop.blocked] }]"
    first, second = build(load_text(text)).webhooks

    assert Webhook(url=Secret("https://a"), secret=Secret("s"), events=frozenset(EventType)) == first
    assert Webhook(url=Secret("https://b"), events=frozenset({EventType.LOOP_BLOCKED})) == second
