from pathlib import Path

import pytest

from router.config import load, notices
from router.config.pending import _PENDING
from router.config.reference import keys_at
from router.config.tree import KeyPath, steps
from tests.unit.config.conftest import Load, sources

CONTRACT = Path(__file__).parents[2] / "support" / "contract.yaml"
QUIET = """
providers: [{ name: demo, kind: scripted }]
models: [{ name: m, deployments: [{ provider: demo, model: x }] }]
keys: [{ name: k, key: sk-work-local }]
"""


def test_who_sets_nothing_special_is_told_nothing(load_text: Load) -> None:
    assert () == notices(load_text(QUIET).settings)


def test_the_contract_makes_a_list_that_can_be_read(tmp_path: Path) -> None:
    told = notices(load(sources(tmp_path, explicit=CONTRACT)).settings)

    assert 20 >= len(told)
    assert "left out: provider openai (no key: set OPENAI_API_KEY)" == told[0]
    assert told[1].startswith("left out: provider azure-eu (no key: ")
    assert told[1].endswith("; no deployment is left for: large")
    assert all(line.startswith("accepted, not yet enforced: ") for line in told[2:])


def _budget_that(does: str) -> str:
    return (
        f"budgets: [{{ name: b, scope: {{ agent: a }}, limit_usd: 1, thresholds: [{{ at_pct: 8, action: {does} }}] }}]"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: observe", None),
        ("server: { workers: 2 }", "server.workers (several"),
        ("server: { workers: 1 }", None),
        ("shared: { url: redis://r }", "shared.url ("),
        ("shared: { url: null }", None),
        ("store: { durability: power }", None),
        ("concurrency: { limit: none }", None),
        ("concurrency: { limit: 5 }", None),
        ("concurrency: { limit: auto }", None),
        ("loops: { mode: off }", None),
        ("loops: { mode: observe }", "loops.mode ("),
        ("cache: { exact: { enabled: false } }", None),
        ("cache: { exact: { enabled: true } }", "cache.exact.enabled ("),
        ("errors: { budget_status: 429 }", None),
        ("errors: { budget_status: 402 }", None),
        ("webhooks: []", None),
        ("webhooks: [{ url: 'https://h' }]", None),
        ("webhooks: [{ url: 'https://h', events: [budget.threshold] }]", None),
        ("webhooks: [{ url: 'https://h', events: [budget.threshold, loop.blocked] }]", "webhooks[].events ("),
        ("users: [{ name: u, limits: { rpm: 1 } }]", None),
        (_budget_that("notify"), None),
        (_budget_that("block"), None),
        (_budget_that("substitute"), None),
        (_budget_that("lower_priority"), None),
        ("workflows: { budget_usd: 1 }", None),
        ("workflows: { max_calls: 1 }", "workflows.max_calls ("),
        ("retry: { attempts_total: 2 }\nbreaker: { probes: 2 }\naffinity: { enabled: true }", None),
        ("roles: { small: m }", None),
        ("priority: { classes: [{ name: vip }] }", "priority ("),
        ("logging: { content: never }", None),
    ],
)
def test_only_what_asks_for_something_that_is_not_done_is_told(load_text: Load, text: str, told: str | None) -> None:
    found = [line.removeprefix("accepted, not yet enforced: ") for line in notices(load_text(QUIET + text).settings)]

    assert ([] if told is None else [True]) == [line.startswith(str(told)) for line in found]


def test_every_credential_is_used(load_text: Load) -> None:
    credentials = "credentials: [{ name: a, api_key: x }, { name: b, api_key: y }]"
    text = f"{{ name: x, kind: openai_compatible, base_url: 'http://x/v1', {credentials} }}"

    assert () == notices(load_text(QUIET.replace("[{ name: demo", f"[{text}, {{ name: demo")).settings)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ("strategy: latency, fallbacks: [m2], context_window_fallbacks: [m2], content_policy_fallbacks: [m2]", None),
        ("substitutes: [{ model: m2, when: { down: true, tag: t } }]", None),
        ("substitutes: [{ model: m2, when: { priority: batch } }]", None),
    ],
)
def test_nothing_of_a_model_waits(load_text: Load, members: str, told: str | None) -> None:
    m2 = "{ name: m2, deployments: [{ provider: demo, model: y, weight: 2 }] }"
    text = QUIET.replace("models: [{ name: m,", f"models: [{m2}, {{ name: m, {members},")
    found = [line.removeprefix("accepted, not yet enforced: ") for line in notices(load_text(text).settings)]

    assert ([] if told is None else [True]) == [line.startswith(str(told)) for line in found]


def test_a_router_that_nobody_can_use_says_so(load_text: Load) -> None:
    assert (
        "no keys are configured: every call will be refused",
        "no models are configured: there is nothing to call",
    ) == notices(load_text("version: 1").settings)


@pytest.mark.parametrize("path", [path for pending in _PENDING for path in pending.paths])
def test_every_key_of_the_table_exists(path: str) -> None:
    *above, last = steps(path)
    where: KeyPath = tuple(0 if step == "[]" else step for step in above)

    assert last in keys_at(where)
