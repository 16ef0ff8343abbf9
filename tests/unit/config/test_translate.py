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
            "keys[0].permissions[0]: 'root' is not one of the permissions; use one of inference or admin",
        ),
        (
            "providers: [{ name: opnai }]",
            "providers[0].kind: is missing; did you mean the preset 'openai'? Else say kind: openai_compatible",
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
