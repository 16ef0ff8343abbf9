"""`checkrein webhooks test` says of each receiver whether an event arrives there, and shows no address."""

import asyncio
import json
from pathlib import Path

import pytest

from router.cli.commands import main
from router.domain.webhook import signature
from tests.support.fake_upstream import FakeUpstream, Reply


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkrein.yaml"


async def run(file: Path, text: str) -> int:
    """Run the command with this configuration, beside the receivers that this loop serves."""

    def command() -> int:
        file.write_text(text)
        return main(["webhooks", "test", "--config", str(file)])

    return await asyncio.to_thread(command)


async def test_each_receiver_is_tried_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with FakeUpstream() as gone:
        nowhere = gone.url
    async with FakeUpstream(handler=lambda request: Reply(status=204 if "good" in request.target else 500)) as receiver:
        good, bad = (f"{{ url: '{receiver.url}/{path}/hunter2', secret: hunter3 }}" for path in ("good", "bad"))
        status = await run(file, f"webhooks: [{good}, {bad}, {{ url: '{nowhere}/hunter2' }}]")

    printed = capsys.readouterr().out
    assert 1 == status
    assert ["webhooks[0]  127.0.0.1  delivered", "webhooks[1]  127.0.0.1  answered 500"] == printed.splitlines()[:2]
    assert "webhooks[2]  127.0.0.1  could not be reached" in printed
    assert "hunter" not in printed
    first, second = receiver.requests
    assert "webhook.test" == json.loads(first.body)["type"]
    sent_s = int(first.headers["webhook-timestamp"])
    signed = signature(b"hunter3", first.headers["webhook-id"], sent_s, first.body)
    assert signed == first.headers["webhook-signature"]
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


async def test_all_is_well_when_each_receiver_takes_it(file: Path) -> None:
    async with FakeUpstream(handler=lambda _: Reply(status=200)) as receiver:
        assert 0 == await run(file, f"webhooks: [{{ url: '{receiver.url}' }}]")


async def test_without_receivers_there_is_nothing_to_test(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == await run(file, "version: 1")
    assert "no webhooks are configured" in capsys.readouterr().err
