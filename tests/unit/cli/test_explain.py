"""The explain command prints what a router knows of a call in words; e2e/test_explain.py asks a real one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.answering import AnsweringRouter, answering_router

ATTEMPT = {
    "number": 1,
    "deployment": "up/a",
    "fault": "upstream_error",
    "upstream_status": 503,
    "first_token_ms": None,
    "duration_ms": 12.3,
    "cost_nano_usd": None,
}
CALL = {
    "id": "call_1",
    "asked_model": "small",
    "outcome": "completed",
    "fault": None,
    "started_at_ms": 1_800_000_000_000,
    "priority": "batch",
    "substituted": "small->large;fallback",
    "served_deployment": "far/x",
    "served_model": "x-1",
    "decision": {"a": "small", "c": ["up/a"], "t": [["up/a", "small"], ["far/x", "large"]]},
    "attempts": [
        ATTEMPT,
        {
            **ATTEMPT,
            "number": 2,
            "deployment": "far/x",
            "fault": None,
            "upstream_status": None,
            "first_token_ms": 40.6,
            "cost_nano_usd": 1_500,
        },
    ],
}
ROUTE = {
    "asked_model": "small",
    "substituted": "small->large;tag",
    "priority": "batch",
    "priority_lowered": True,
    "target": "up/a",
    "admitted": False,
    "home": "up/a",
    "candidates": [
        {
            "target": "up/a",
            "tier": 1,
            "figure": "weight",
            "value": 1.0,
            "ceiling_nano_usd": 2_500_000,
            "spared": False,
            "policies": [
                {"refusal": None, "observed": True},
                {"refusal": {"message": "The budget is used up."}, "observed": False},
                {"refusal": {"message": "Too fast."}, "observed": True},
            ],
        },
        {
            "target": "up/b",
            "tier": 2,
            "figure": "weight",
            "value": None,
            "ceiling_nano_usd": None,
            "spared": True,
            "policies": [],
        },
    ],
    "dropped": [
        {"target": "up/c", "reason": "resting", "detail": None, "until_ms": 1_800_000_000_000},
        {"target": "up/d", "reason": "capability", "detail": "tools", "until_ms": None},
        {"target": "up/e", "reason": "no_room", "detail": None, "until_ms": 1_800_000_000_000},
    ],
    "fallbacks": {"any": ["large", "huge"], "context": ["wide"], "policy": []},
}


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringRouter]:
    monkeypatch.delenv("CHECKREIN_API_KEY", raising=False)
    monkeypatch.setenv("CHECKREIN_ADMIN_KEY", "sk-boss")
    with answering_router() as site:
        yield site


def test_a_call_is_told_with_its_attempts(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, CALL)]

    assert 0 == router.run("explain", "call/1")
    assert [("GET", "/checkrein/v1/calls/call%2F1", None)] == router.asked
    assert {"Bearer sk-boss"} == router.bearers
    assert [
        "call_1: small was asked for, completed, 2027-01-15 08:00:00Z",
        "class batch",
        "substituted: small->large;fallback",
        "served by far/x, which says that it served x-1",
        "in order: up/a",
        "attempt 1: up/a",
        "attempt 2: far/x, of the model large",
        "ATTEMPT  DEPLOYMENT  ENDED           STATUS  FIRST MS  MS  USD",
        "1        up/a        upstream_error  503     -         12  -",
        "2        far/x       well            -       41        12  0.0000015",
    ] == capsys.readouterr().out.splitlines()


def test_a_call_without_a_choice_says_so(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"priority": None, "substituted": None, "served_deployment": None, "decision": None, "attempts": []}
    router.answers = [(200, {**CALL, **nothing, "outcome": "refused", "fault": "rate_limited"})]

    assert 0 == router.run("explain", "call_1")
    assert [
        "call_1: small was asked for, refused (rate_limited), 2027-01-15 08:00:00Z",
        "there was no choice: one deployment, asked once at most",
    ] == capsys.readouterr().out.splitlines()


def test_a_request_is_told_where_it_would_go(
    router: AnsweringRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"model": "small", "messages": []}
    (tmp_path / "request.json").write_text(json.dumps(request))
    router.answers = [(200, ROUTE)]

    assert 0 == router.run("explain", "--request", str(tmp_path / "request.json"), "--key", "sk-own")
    assert [("POST", "/checkrein/v1/route/explain", request)] == router.asked
    assert {"Bearer sk-own"} == router.bearers
    assert [
        "small is asked for, small->large;tag",
        "class batch, lowered because a budget is low",
        "it would go to up/a",
        "it would be refused at every candidate",
        "its conversation is at up/a",
        "TARGET  TIER  WEIGHT  AT MOST USD  SAYS",
        "up/a    1     1       0.0025       The budget is used up.; only observed: Too fast.",
        "up/b    2     -       -            may be sent",
        "kept though slow or failing at times, because most are out: up/b",
        "left out: up/c, resting until 2027-01-15 08:00:00Z",
        "left out: up/d, capability (tools)",
        "set back: up/e, no_room until 2027-01-15 08:00:00Z",
        "when they fail: large, huge",
        "when the prompt is too long: wide",
    ] == capsys.readouterr().out.splitlines()


def test_nobody_to_go_to_is_said(router: AnsweringRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "request.json").write_text("{}")
    nobody = {
        "priority_lowered": False,
        "substituted": None,
        "target": None,
        "home": None,
        "candidates": [],
        "dropped": [],
        "fallbacks": {},
    }
    router.answers = [(200, {**ROUTE, **nobody})]

    assert 0 == router.run("explain", "--request", str(tmp_path / "request.json"))
    assert ["small is asked for", "class batch", "nobody can take it now"] == capsys.readouterr().out.splitlines()


def test_json_is_the_answer_as_it_is(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, CALL)]

    assert 0 == router.run("explain", "call_1", "--json")
    assert CALL == json.loads(capsys.readouterr().out)


def test_what_a_router_refuses_is_said(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(404, {"error": {"message": "No call of this key has this id."}})]

    assert 1 == router.run("explain", "call_1")
    assert "No call of this key" in capsys.readouterr().err


def test_a_decision_of_no_known_shape_is_said(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, {**CALL, "decision": {"c": 1}})]

    assert 2 == router.run("explain", "call_1")
    assert "--json" in capsys.readouterr().err


def test_a_request_that_is_no_object_and_a_missing_key_are_usage_errors(
    router: AnsweringRouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "request.json").write_text("[]")
    assert 2 == router.run("explain", "--request", str(tmp_path / "request.json"))
    monkeypatch.delenv("CHECKREIN_ADMIN_KEY")
    assert 2 == router.run("explain", "call_1")
    assert "CHECKREIN_API_KEY" in capsys.readouterr().err
    assert [] == router.asked
