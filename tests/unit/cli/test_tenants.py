"""The commands for tenants and budgets ask a router and print what it says; e2e/test_tenants.py asks a real one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.answering import AnsweringRouter, answering_router

TEAM = {
    "object": "team",
    "name": "acme/lab",
    "state": "active",
    "source": "store",
    "place": None,
    "budget": "team/acme/lab/usd/month@UTC",
    "updated_at_ms": 1_800_000_000_000,
    "settings": {"name": "acme/lab"},
}
TOP_UP = {
    "id": "top-1",
    "budget": "key/ci/usd/day@UTC",
    "value": "ci",
    "amount": 500_000_000,
    "reason": "launch",
    "until_ms": 1_800_000_000_000,
}


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringRouter]:
    monkeypatch.setenv("CHECKREIN_ADMIN_KEY", "sk-boss")
    with answering_router() as site:
        yield site


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (
            ("teams", "create", "acme/lab", "--limit-usd", "5", "--window", "day", "--rpm", "6"),
            "/admin/v1/teams",
            {"name": "acme/lab", "budget": {"limit_usd": "5", "window": "day"}, "limits": {"rpm": 6}},
        ),
        (("organizations", "create", "acme"), "/admin/v1/organizations", {"name": "acme"}),
        (
            ("users", "create", "ann", "--limit-tokens", "7"),
            "/admin/v1/users",
            {"name": "ann", "budget": {"limit_tokens": 7}},
        ),
        (
            ("budgets", "create", "all", "--limit-requests", "7", "--scope", "agent=*"),
            "/admin/v1/budgets",
            {"name": "all", "limit_requests": 7, "scope": {"agent": "*"}},
        ),
    ],
)
def test_create_sends_what_was_said(
    arguments: tuple[str, ...], path: str, body: object, router: AnsweringRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers = [(201, TEAM)]
    assert 0 == router.run(*arguments)

    assert [("POST", path, body)] == router.asked
    assert "acme/lab is made, budget team/acme/lab/usd/month@UTC\n" == capsys.readouterr().out


def test_update_and_delete_name_it_safely(
    router: AnsweringRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "team.json").write_text('{"budget":null}')
    router.answers = [(200, TEAM), (200, TEAM)]
    assert 0 == router.run("teams", "update", "acme/lab", "--settings", str(tmp_path / "team.json"))
    assert 0 == router.run("teams", "delete", "acme/lab")

    assert [
        ("PATCH", "/admin/v1/teams/acme%2Flab", {"budget": None}),
        ("DELETE", "/admin/v1/teams/acme%2Flab", None),
    ] == router.asked
    assert "acme/lab is changed\nacme/lab is deleted\n" == capsys.readouterr().out


def test_list_reads_all_pages(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    filed = {**TEAM, "name": "b", "source": "file", "place": "c.yaml:3", "budget": None, "updated_at_ms": None}
    router.answers = [(200, {"data": [TEAM], "next": "acme/lab"}), (200, {"data": [filed], "next": None})]
    assert 0 == router.run("teams", "list")

    assert "/admin/v1/teams?limit=1000&after=acme%2Flab" == router.asked[1][1]
    assert [
        "NAME      STATE   SOURCE    BUDGET                       CHANGED",
        "acme/lab  active  store     team/acme/lab/usd/month@UTC  2027-01-15 08:00:00Z",
        "b         active  c.yaml:3  -                            -",
    ] == capsys.readouterr().out.splitlines()


def test_show_prints_how_the_budget_stands(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    account = {"limit": 9, "used": 5, "reserved": 1, "unit": "usd", "resets_at_ms": None}
    router.answers = [(200, {**TEAM, "account": account}), (200, {**TEAM, "account": None})]
    assert [0, 0] == [router.run("teams", "show", "acme/lab") for _ in range(2)]

    lines = capsys.readouterr().out.splitlines()
    assert {"limit:    9 nano-USD", "used:     5 nano-USD", "resets:   -"} <= set(lines)
    assert 'settings: {"name": "acme/lab"}' == lines[-1]
    assert 1 == sum(line.startswith("limit:") for line in lines)


def test_a_budget_is_topped_up_by_its_id(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    path = "/admin/v1/budgets/key%2Fci%2Fusd%2Fday%40UTC/top_ups"
    router.answers = [(201, TOP_UP), (200, {"data": [TOP_UP]}), (200, {"name": "top-1"})]
    budget = "key/ci/usd/day@UTC"
    assert 0 == router.run("budgets", "top-up", budget, "--usd", "0.5", "--for", "2h", "--reason", "launch")
    assert 0 == router.run("budgets", "top-ups", budget)
    assert 0 == router.run("budgets", "take-back", budget, "top-1")

    assert [
        ("POST", path, {"amount_usd": "0.5", "for": "2h", "reason": "launch"}),
        ("GET", path, None),
        ("DELETE", f"{path}/top-1", None),
    ] == router.asked
    assert [
        "top-1 tops key/ci/usd/day@UTC up until 2027-01-15 08:00:00Z",
        "ID     VALUE  AMOUNT     REASON  UNTIL",
        "top-1  ci     500000000  launch  2027-01-15 08:00:00Z",
        "top-1 is taken back",
    ] == capsys.readouterr().out.splitlines()


def test_json_is_the_answer_as_it_is(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, {**TEAM, "account": None})]
    assert 0 == router.run("teams", "show", "acme/lab", "--json")

    assert {**TEAM, "account": None} == json.loads(capsys.readouterr().out)
