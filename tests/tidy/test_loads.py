"""A load never leaves this machine, and what each step costs can be measured."""

import sys

import pytest

from load_tests import grpc_bench, grpc_peers, steps
from load_tests.loopback import require_loopback


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://127.9.9.9:1", "http://[::1]:8080/v1", "http://localhost:8080"]
)
def test_loopback_may_be_loaded(url: str) -> None:
    require_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "http://10.0.0.1:8080",
        "http://192.0.2.1",
        "http://0.0.0.0:8080",
        "http://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1.example.com/",
        "http://[::ffff:10.0.0.1]/",
    ],
)
def test_nothing_else_may(url: str) -> None:
    with pytest.raises(ValueError, match="not on loopback"):
        require_loopback(url)


@pytest.mark.slow
def test_every_step_of_the_bench_can_be_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(steps, "ROUNDS", 1)
    monkeypatch.setattr(steps, "TURNS", 1)
    steps.main()

    assert "stream: meter one event" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
def test_every_kind_of_call_of_the_bench_of_grpc_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grpc_bench, "ROUNDS", 1)
    monkeypatch.setattr(grpc_bench, "SPAN_S", 0.1)
    monkeypatch.setattr(grpc_bench, "PARALLEL", 30)
    monkeypatch.setattr(grpc_peers, "GAP_S", 0.001)
    monkeypatch.setattr(sys, "argv", ["grpc_bench"])
    failed = grpc_bench.main()
    told = capsys.readouterr().out.splitlines()

    assert not failed, told
    assert ["gRPC, many streams", "30", "0"] == [part for part in told[-2].split("  ") if part][:3]
