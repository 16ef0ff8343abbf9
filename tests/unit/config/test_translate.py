import pytest

from tests.unit.config.conftest import Problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mode: x", "mode: 'x' is not a mode; use one of enforce or observe"),
        ("loops: { mode: false }", "loops.mode: false is not a mode; use one of enforce, observe or off"),
        ("version: 2", "version: 2 is too large; use at most 1"),
        ("server: { workers: 0 }", "server.workers: 0 is too small; use at least 1"),
        ("server: { workers: 1.5 }", "server.workers: 1.5 is not a whole number; write digits only"),
        ("server: { workers: many }", "server.workers: 'many' is not a whole number; write digits only"),
        ("server: { http: 5 }", "server.http: is not a mapping; write { name: value }, or a name a line"),
        ("server: { http: { host: [a] } }", "server.http.host: is not text; put it in quotes"),
        ("server: { http: { host: '' } }", "server.http.host: '' is empty; write something, or leave the key out"),
        ("server: { http: { prot: 1 } }", "server.http.prot: unknown key; did you mean 'port'?"),
        ("server: { drain: { zzz: 1 } }", "server.drain.zzz: unknown key; known here: delay, grace"),
        (
            "affinity: { enabled: maybe }",
            "affinity.enabled: 'maybe' is neither true nor false; write true or false",
        ),
        (
            "loops: { polls: a }",
            "loops.polls: is not a list; write [one, two], or an item a line, each after `- `",
        ),
        ("loops: { advanced: { warn: a } }", "loops.advanced.warn: 'a' is not a number; write it as 0.5"),
        ("models: [{ name: a, deployments: [] }]", "models[0].deployments: is empty; add at least one"),
        ("models: [{ name: a }]", "models[0].deployments: is missing; add it"),
        (
            "keys: [{ name: a, key: sk-12345678, permissions: [root] }]",
            "keys[0].permissions[0]: 'root' is not one of the permissions; use one of inference, admin or team_admin",
        ),
        (
            "providers: [{ name: opnai }]",
            "providers[0].kind: is missing; did you mean the preset 'openai'? Else say kind: openai_compatible",
        ),
        (
            "users: [{ name: u, budget: { window: day } }]",
            "users[0].budget: has no limit; write one of limit_usd, limit_tokens, limit_requests, limit_seconds",
        ),
        (
            "users: [{ name: u, budget: { limit_usd: 1, limit_tokens: 1 } }]",
            "users[0].budget: has limit_usd and limit_tokens; keep one, and write the other as a budget of its own",
        ),
        (
            "keys: [{ name: a, key: sk-12345678, budget: { limit_usd: 1, thresholds: [{ at_pct: 1, action: x }] } }]",
            (
                "keys[0].budget.thresholds[0].action: "
                "'x' is not an action; use one of notify, substitute, lower_priority or block"
            ),
        ),
        (
            "users: [{ name: u, budget: { limit_usd: 1, window: 0s } }]",
            "users[0].budget.window: '0s' is out of range; use 1s to 3650d",
        ),
        ("users: [{ name: u, limits: { rpm: 0 } }]", "users[0].limits.rpm: 0 is too small; use at least 1"),
        ("users: [{ name: u, limits: { input_tpm: 0 } }]", "users[0].limits.input_tpm: 0 is too small; use at least 1"),
        (
            "budgets: [{ name: b, limit_usd: 1, scope: {} }]",
            "budgets[0].scope: names nothing; write one of workflow, key, user, team, organization, agent, tag, model",
        ),
        (
            "budgets: [{ name: b, limit_usd: 1, scope: { agent: a, tag: t } }]",
            "budgets[0].scope: has agent and tag; keep one, and write the other as a budget of its own",
        ),
        (
            "keys: [{ name: a, key: sk-12345678, profile: gold }]",
            "keys[0].profile: 'gold' is not a profile; use one of critical, standard or experimental",
        ),
        (
            "concurrency: { limit: 0 }",
            "concurrency.limit: 0 is not a limit; use none, auto or a number of calls from 1 to 1000000",
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(problems_of: Problems, text: str, problem: str) -> None:
    assert [f"config.yaml:1: {problem}"] == problems_of(text)


def test_a_wrong_item_is_not_also_told_as_a_missing_one(problems_of: Problems) -> None:
    text = "providers: [{ name: p, kind: scripted }]\nmodels: [{ name: a, deployments: [{ provider: p, mode: x }] }]"

    assert ["models[0].deployments[0].mode: unknown key", "models[0].deployments[0].model: is missing"] == sorted(
        line.split(": ", 1)[1].split(";")[0] for line in problems_of(text)
    )


def test_what_a_variable_gave_is_quoted_as_it_was_written(problems_of: Problems) -> None:
    assert ["config.yaml:1: mode: '${M}' is not a mode; use one of enforce or observe"] == problems_of(
        "mode: ${M}", env={"M": "hunter2"}
    )
