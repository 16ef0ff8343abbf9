"""The command line, as far as no process need be started: e2e/test_start.py has the rest."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from router import VERSION
from router.cli.commands import main


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, with nothing configured."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("CHECKREIN", "DATABASE_URL", "REDIS_URL", "OPENAI")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])

    assert 0 == left.value.code
    assert f"checkrein {VERSION}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["config"], ["serve", "--port", "x"], ["serve", "--grpc-port", "x"], ["usage", "--format", "x"]],
)
def test_a_command_line_that_says_nothing_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)

    assert 2 == left.value.code


def test_init_writes_a_file_once(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["init", "mine.yaml"])
    written = (nowhere / "mine.yaml").read_text()
    assert 1 == main(["init", "mine.yaml"])

    assert "not touched" in capsys.readouterr().err
    assert written == (nowhere / "mine.yaml").read_text()


def test_check_is_good_or_names_each_problem(nowhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init"])
    assert 0 == main(["config", "check"])
    good = capsys.readouterr().out
    (nowhere / "bad.yaml").write_text("version: 1\nserver: { http: { port: 99999 } }\nkeys: 7\n")
    assert 2 == main(["config", "check", "bad.yaml"])
    bad = capsys.readouterr().err

    assert "configuration is good: checkrein.yaml, fingerprint" in good
    assert "bad.yaml:2: server.http.port" in bad
    assert "bad.yaml:3: keys" in bad
    assert bad.endswith("2 problem(s) in the configuration\n")


@pytest.mark.parametrize("arguments", [["usage"], ["healthcheck"], ["serve"], ["config", "check"]])
def test_a_file_that_is_not_there_is_a_problem_and_no_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main([*arguments, "--config", "none.yaml"])
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_usage_without_a_store_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["usage"])
    assert "there is no store at sqlite:///./checkrein.db" in capsys.readouterr().err


def test_usage_wants_a_duration(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["usage", "--since", "yesterday"])
    assert "--since" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step", "heavy"),
    [
        ("_parser()", {"asyncio", "fastapi", "pydantic", "uvloop", "yaml"}),
        ("main(['keys', 'list'])", {"asyncio", "fastapi", "pydantic", "uvloop", "yaml"}),
        ("main(['usage'])", {"fastapi", "prometheus_client", "uvicorn", "uvloop"}),
        ("main(['report'])", {"fastapi", "prometheus_client", "uvicorn", "uvloop"}),
    ],
)
def test_a_command_loads_nothing_that_serving_alone_needs(step: str, heavy: set[str]) -> None:
    """Help and what asks a running router start in a tenth of a second; each of these alone would double that."""
    code = f"import sys; from router.cli.commands import _parser, main; {step}; print({heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)

    assert "set()\n" == done.stdout


def test_serve_says_that_the_port_of_grpc_is_taken_before_anything_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = ["--port", "0", "--ops-port", "0", "--grpc-port", port]
        done = subprocess.run(
            [sys.executable, "-m", "router", "serve", *ports], check=False, capture_output=True, text=True, timeout=60
        )

    assert 1 == done.returncode
    assert f"127.0.0.1:{port}: Address already in use. Stop what listens there or choose another port" in done.stderr
    assert "serving" not in done.stderr
    assert "Traceback" not in done.stderr
