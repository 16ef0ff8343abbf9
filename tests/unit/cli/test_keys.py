"""The keys commands ask a router and print what it says; e2e/test_keys.py asks a real one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.commands import main
from tests.support.answering import AnsweringRouter, answering_router

KEY = {
    "object": "key",
    "name": "ci",
    "id": "abc",
    "state": "active",
    "source": "store",
    "updated_at_ms": 1_800_000_000_000,
    "secrets_until_ms": [None, 1_800_000_000_000],
}


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringRouter]:
    monkeypatch.setenv("CHECKREIN_ADMIN_KEY", "sk-boss")
    with answering_router() as site:
        yield site


def test_create_sends_what_was_said_and_prints_the_secret_alone(
    router: AnsweringRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.json").write_text('{"limits":{"rpm":5},"team":"acme/other"}')
    router.answers = [(201, {**KEY, "secret": "sk-abc-hidden"})]
    settings = ["--settings", str(tmp_path / "key.json"), "--team", "acme/research"]
    status = router.run("keys", "create", "ci", *settings, "--model", "a", "--model", "b", "--budget-usd", "5")

    assert 0 == status
    body = {
        "limits": {"rpm": 5},
        "team": "acme/research",
        "models": ["a", "b"],
        "budget": {"limit_usd": "5"},
        "name": "ci",
    }
    assert [("POST", "/admin/v1/keys", body)] == router.asked
    assert {"Bearer sk-boss"} == router.bearers
    said = capsys.readouterr()
    assert "sk-abc-hidden\n" == said.out
    assert "hidden" not in said.err


def test_rotate_and_revoke_name_the_key_safely(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, {**KEY, "secret": "sk-abc-new"}), (200, KEY)]
    assert 0 == router.run("keys", "rotate", "c/i", "--overlap", "1h")
    assert 0 == router.run("keys", "revoke", "ci")

    assert [
        ("POST", "/admin/v1/keys/c%2Fi/rotate", {"overlap": "1h"}),
        ("POST", "/admin/v1/keys/ci/revoke", None),
    ] == router.asked
    assert "sk-abc-new\nci is revoked\n" == capsys.readouterr().out


def test_update_sends_what_was_said_alone(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, KEY)]
    assert 0 == router.run("keys", "update", "c/i", "--model", "a", "--budget-usd", "5", "--budget-window", "day")

    body = {"models": ["a"], "budget": {"limit_usd": "5", "window": "day"}}
    assert [("PATCH", "/admin/v1/keys/c%2Fi", body)] == router.asked
    assert "ci is changed\n" == capsys.readouterr().out


def test_list_reads_all_pages(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    filed = {**KEY, "name": "filed", "id": None, "source": "file", "updated_at_ms": None}
    router.answers = [(200, {"data": [KEY], "next": "c i"}), (200, {"data": [filed], "next": None})]
    assert 0 == router.run("keys", "list")

    assert "/admin/v1/keys?limit=1000&after=c%20i" == router.asked[1][1]
    assert [
        "NAME   ID   STATE   SOURCE  CHANGED",
        "ci     abc  active  store   2027-01-15 08:00:00Z",
        "filed  -    active  file    -",
    ] == capsys.readouterr().out.splitlines()


def test_show_prints_the_limits_and_where_they_were_set(
    router: AnsweringRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = {"scope": "key:ci", "limit": "rpm", "value": "5", "set_by": "checkrein.yaml:3"}
    limits = [{**limit, "observed": True}, {**limit, "observed": False}]
    router.answers = [(200, {**KEY, "limits": limits})]
    assert 0 == router.run("keys", "show", "ci")

    lines = capsys.readouterr().out.splitlines()
    assert "secret:  until 2027-01-15 08:00:00Z" in lines
    assert [
        "key:ci  rpm    5 (observed)  checkrein.yaml:3",
        "key:ci  rpm    5             checkrein.yaml:3",
    ] == lines[-2:]


def test_json_is_the_answer_as_it_is(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, {**KEY, "limits": []})]
    assert 0 == router.run("keys", "show", "ci", "--json")

    assert {**KEY, "limits": []} == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((404, {"error": {"message": "There is no such key."}}), "There is no such key."),
        ((502, b"<html>"), "answers 502, and not as a router does"),
        ((200, b"[]"), "answers 200, and not as a router does"),
    ],
)
def test_what_a_router_refuses_is_said(
    answer: tuple[int, object], said: str, router: AnsweringRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers = [answer]

    assert 1 == router.run("keys", "show", "ci")
    assert said in capsys.readouterr().err


def test_a_router_that_is_not_there_is_said(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["keys", "list", "--url", "http://127.0.0.1:1"])
    assert "no answer from http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list", "--url", "ftp://x"], ["list", "--url", "nonsense"]])
def test_an_address_that_is_none_is_a_usage_error(
    arguments: list[str], router: AnsweringRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["keys", *arguments])
    assert "--url" in capsys.readouterr().err


def test_without_an_admin_key_nothing_is_asked(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CHECKREIN_ADMIN_KEY")

    assert 2 == router.run("keys", "list")
    assert "CHECKREIN_ADMIN_KEY" in capsys.readouterr().err
    assert [] == router.asked


def test_settings_that_are_no_object_are_a_usage_error(router: AnsweringRouter, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("[]")

    assert 2 == router.run("keys", "create", "ci", "--settings", str(tmp_path / "key.json"))
