"""The keys commands ask a router and print what it says; e2e/test_keys.py asks a real one."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from router.cli import main

KEY = {
    "object": "key",
    "name": "ci",
    "id": "abc",
    "state": "active",
    "source": "store",
    "updated_at_ms": 1_800_000_000_000,
    "secrets_until_ms": [None, 1_800_000_000_000],
}


class Router:
    """Answers requests one after the other with what is in `answers`, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.asked: list[tuple[str, str, object]] = []
        self.bearers: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                site.asked.append((self.command, self.path, json.loads(body) if body else None))
                site.bearers.add(self.headers["authorization"])
                status, reply = site.answers.pop(0)
                content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - names of the library

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def run(self, *arguments: str) -> int:
        return main(["keys", *arguments, "--url", f"http://127.0.0.1:{self.server.server_port}"])


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[Router]:
    monkeypatch.setenv("CHECKREIN_ADMIN_KEY", "sk-boss")
    site = Router()
    thread = threading.Thread(target=lambda: site.server.serve_forever(poll_interval=0.01))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()


def test_create_sends_what_was_said_and_prints_the_secret_alone(
    router: Router, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "key.json").write_text('{"limits":{"rpm":5},"team":"acme/other"}')
    router.answers = [(201, {**KEY, "secret": "sk-abc-hidden"})]
    settings = ["--settings", str(tmp_path / "key.json"), "--team", "acme/research"]
    status = router.run("create", "ci", *settings, "--model", "a", "--model", "b", "--budget-usd", "5")

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


def test_rotate_and_revoke_name_the_key_safely(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, {**KEY, "secret": "sk-abc-new"}), (200, KEY)]
    assert 0 == router.run("rotate", "c/i", "--overlap", "1h")
    assert 0 == router.run("revoke", "ci")

    assert [
        ("POST", "/admin/v1/keys/c%2Fi/rotate", {"overlap": "1h"}),
        ("POST", "/admin/v1/keys/ci/revoke", None),
    ] == router.asked
    assert "sk-abc-new\nci is revoked\n" == capsys.readouterr().out


def test_list_reads_all_pages(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    filed = {**KEY, "name": "filed", "id": None, "source": "file", "updated_at_ms": None}
    router.answers = [(200, {"data": [KEY], "next": "c i"}), (200, {"data": [filed], "next": None})]
    assert 0 == router.run("list")

    assert "/admin/v1/keys?limit=1000&after=c%20i" == router.asked[1][1]
    assert [
        "NAME   ID   STATE   SOURCE  CHANGED",
        "ci     abc  active  store   2027-01-15 08:00:00Z",
        "filed  -    active  file    -",
    ] == capsys.readouterr().out.splitlines()


def test_show_prints_the_limits_and_where_they_were_set(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    limit = {"scope": "key:ci", "limit": "rpm", "value": "5", "set_by": "checkrein.yaml:3"}
    router.answers = [(200, {**KEY, "limits": [limit]})]
    assert 0 == router.run("show", "ci")

    lines = capsys.readouterr().out.splitlines()
    assert "secret:  until 2027-01-15 08:00:00Z" in lines
    assert "key:ci  rpm    5      checkrein.yaml:3" == lines[-1]


def test_json_is_the_answer_as_it_is(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, {**KEY, "limits": []})]
    assert 0 == router.run("show", "ci", "--json")

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
    answer: tuple[int, object], said: str, router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers = [answer]

    assert 1 == router.run("show", "ci")
    assert said in capsys.readouterr().err


def test_a_router_that_is_not_there_is_said(router: Router, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["keys", "list", "--url", "http://127.0.0.1:1"])
    assert "no answer from http://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["list", "--url", "ftp://x"], ["list", "--url", "nonsense"]])
def test_an_address_that_is_none_is_a_usage_error(
    arguments: list[str], router: Router, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["keys", *arguments])
    assert "--url" in capsys.readouterr().err


def test_without_an_admin_key_nothing_is_asked(
    router: Router, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CHECKREIN_ADMIN_KEY")

    assert 2 == router.run("list")
    assert "CHECKREIN_ADMIN_KEY" in capsys.readouterr().err
    assert [] == router.asked


def test_settings_that_are_no_object_are_a_usage_error(router: Router, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text("[]")

    assert 2 == router.run("create", "ci", "--settings", str(tmp_path / "key.json"))
