"""A reload swaps the configuration whole, or says why not and changes nothing."""

import logging
from pathlib import Path

import pytest

from router.config import Sources, load
from router.configured import Configured
from router.domain.catalog import Snapshot
from tests.support.fakes import FakeClock

TEXT = """\
version: 1
providers: [{ name: demo, kind: scripted }]
models: [{ name: NAME, deployments: [{ provider: demo, model: demo, price: { input: 1, output: 1 } }] }]
keys: [{ name: test, key: sk-test-key }]
"""


def nothing_known(_model: str) -> None:
    """Be a catalogue that is not needed: every deployment has its own price."""


class Desk:
    """A configuration on disk, and what was done about it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "checkrein.yaml"
        self.write("first")
        nowhere = folder / "nowhere.yaml"
        sources = Sources(explicit=self.file, env={}, overrides={}, system=nowhere, user=nowhere, project=nowhere)
        self.followed: list[Snapshot] = []
        self.refusal: Exception | None = None
        self.configured = Configured(
            load(sources), sources=sources, first_key="sk-unused", catalogue=nothing_known, clock=FakeClock()
        )

    def write(self, name: str, more: str = "") -> None:
        self.file.write_text(TEXT.replace("NAME", name) + more)

    async def follow(self, snapshot: Snapshot) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.followed.append(snapshot)

    async def reload(self) -> tuple[int, list[str]]:
        await self.configured.reload(self.follow)
        current = self.configured.current
        return current.revision, sorted(current.models)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_a_good_file_is_in_force_after_the_upstreams_follow(desk: Desk) -> None:
    assert (1, ["first"]) == (desk.configured.current.revision, list(desk.configured.current.models))
    desk.write("second")

    assert (2, ["second"]) == await desk.reload()
    assert [desk.configured.current] == desk.followed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("nonsense: 1\n", "nonsense"),
        ("server: { http: { port: 1 } }\n", "restart needed for server.http.port"),
        ("store: { url: 'sqlite:///other.db' }\n", "restart needed for store.url"),
    ],
)
async def test_a_file_that_cannot_be_used_changes_nothing(
    more: str, said: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.write("second", more)
    with caplog.at_level(logging.ERROR):
        after = await desk.reload()

    assert (1, ["first"]) == after
    assert [] == desk.followed
    assert "reload refused" in caplog.text
    assert said in caplog.text


@pytest.mark.parametrize("refusal", [ValueError("a header is odd"), OSError("no such certificate")])
async def test_upstreams_that_cannot_follow_refuse_it_whole(
    refusal: Exception, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.write("second")
    desk.refusal = refusal

    assert (1, ["first"]) == await desk.reload()
    assert str(refusal) in caplog.text
    desk.refusal = None
    assert (2, ["second"]) == await desk.reload()


def test_a_change_of_the_file_is_seen_once(desk: Desk) -> None:
    looks = [desk.configured.files_changed()]
    desk.file.unlink()
    looks += [desk.configured.files_changed(), desk.configured.files_changed()]
    desk.write("second")
    looks += [desk.configured.files_changed(), desk.configured.files_changed()]

    assert [False, True, False, True, False] == looks
