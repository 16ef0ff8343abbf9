"""`checkrein doctor` prints what is wrong with each deployment and what to do, and exits 1 if one cannot serve."""

import asyncio
import json
from pathlib import Path

import pytest

from router.cli import doctor
from router.cli.commands import main
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request

GOOD_KEY, BAD_KEY = "sk-good-hunter2", "sk-bad-hunter2"


def config(upstream: FakeUpstream, **deployment: object) -> dict[str, object]:
    """A configuration with two keys at a provider that takes one of them."""
    provider = {
        "name": "fake",
        "kind": "openai_compatible",
        "base_url": upstream.base_url,
        "api_key": GOOD_KEY,
        "credentials": [{"name": "second", "api_key": BAD_KEY}],
        "network": {"allow_private": True},
    }
    served = {
        "provider": "fake",
        "model": "m",
        "price": {"input": 1, "output": 2},
        "context_window": 1_000,
        **deployment,
    }
    scripted = {"provider": "demo", "model": "d", "price": {"input": 1, "output": 2}, "context_window": 8}
    return {
        "providers": [provider, {"name": "demo", "kind": "scripted"}, {"name": "groq", "required": False}],
        "models": [
            {"name": "a", "deployments": [served, {"provider": "groq", "model": "g"}]},
            {"name": "b", "deployments": [scripted]},
        ],
        "keys": [{"name": "k", "key": "sk-test-key"}],
    }


def keyed(request: Request) -> Reply:
    if request.headers["authorization"] == f"Bearer {GOOD_KEY}":
        return fake.stream(request, 1)
    return fake.error(401, f"{BAD_KEY} is no key of ours", code="invalid_api_key")


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def run(folder: Path, content: dict[str, object], *arguments: str) -> int:
    (folder / "c.yaml").write_text(json.dumps(content))
    return await asyncio.to_thread(main, ["doctor", "--config", str(folder / "c.yaml"), *arguments])


async def test_every_credential_is_asked_and_no_secret_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeUpstream(handler=keyed) as upstream:
        status = await run(tmp_path, config(upstream))

    printed = capsys.readouterr()
    rows = [line.split(maxsplit=3) for line in printed.out.splitlines()]
    assert 1 == status
    assert ["fake/m", "dns", "ok", "127.0.0.1"] == rows[1]
    assert ["call", "ok"] == rows[3][:2]
    assert "1 out, $0.000004" in printed.out
    assert "call    fail    answered 401 (invalid_api_key)" in printed.out
    assert "fix: correct the key" in printed.out
    assert "groq/g" in printed.out
    assert "set GROQ_API_KEY" in printed.out
    assert "hunter2" not in printed.out + printed.err
    assert ["c.yaml"] == names_in(tmp_path), "it keeps nothing"


async def test_one_deployment_is_examined_alone_and_told_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeUpstream(handler=keyed) as upstream:
        assert 0 == await run(tmp_path, config(upstream), "--json", "--deployment", "demo/d")
        told = json.loads(capsys.readouterr().out)
        assert (True, [], ["demo/d"]) == (
            told["ok"],
            told["problems"],
            [one["deployment"] for one in told["deployments"]],
        )
        assert 1 == told["deployments"][0]["answer"]["output_tokens"]
        assert [] == upstream.requests
        assert 1 == await run(tmp_path, config(upstream), "--json", "--deployment", "fake/m")
        told = json.loads(capsys.readouterr().out)
        assert (False, ["ok", "fail"]) == (told["ok"], [one["level"] for one in told["deployments"]])
        assert [False, True] == [one["answer"] is None for one in told["deployments"]]
        assert 2 == await run(tmp_path, config(upstream), "--deployment", "nobody")
        assert "'nobody' is none of fake/m, demo/d, groq/g" in capsys.readouterr().err


async def test_offline_a_missing_price_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeUpstream() as upstream:
        assert 0 == await run(tmp_path, config(upstream, price=None), "--offline")
        assert 0 == upstream.connections_opened
    assert "price   warn    unknown" in capsys.readouterr().out


async def test_a_model_that_a_provider_does_not_have_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = fake.error(404, "The model `m` does not exist", code="model_not_found")
    async with FakeUpstream(handler=lambda _: unknown) as upstream:
        assert 1 == await run(tmp_path, config(upstream), "--deployment", "fake/m")
    assert "the provider does not serve m to this key" in capsys.readouterr().out


async def test_a_closed_port_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeUpstream() as gone:
        pass
    assert 1 == await run(tmp_path, config(gone), "--deployment", "fake/m")
    assert f"tcp     fail    port {gone.port} does not connect (Connection refused)" in capsys.readouterr().out


@pytest.mark.parametrize("style", [(), ("--json",)])
async def test_a_configuration_that_is_wrong_is_told_and_nothing_is_examined(
    style: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeUpstream() as upstream:
        assert 1 == await run(tmp_path, config(upstream, price_as="no/such", price=None), *style)
    printed = capsys.readouterr()
    said = json.loads(printed.out)["problems"][0] if style else printed.err
    assert "'no/such' is not in the price catalogue" in said


async def test_without_deployments_there_is_nothing_to_examine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == await run(tmp_path, {"version": 1})
    assert "there is nothing to examine" in capsys.readouterr().out


async def test_an_interrupt_ends_it_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(*_arguments: object, offline: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "_examine", interrupted)
    async with FakeUpstream() as upstream:
        assert 130 == await run(tmp_path, config(upstream))
    assert "interrupted" in capsys.readouterr().err
