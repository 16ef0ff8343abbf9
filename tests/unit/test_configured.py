"""A reload swaps the configuration whole, or says why not and changes nothing; stored keys come beside the file's."""

import logging
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from router.config import Sources, load
from router.configured import Configured
from router.domain.catalog import Snapshot
from router.domain.governance.budget import Budget
from router.ports.keys import SecretDigest, SettingsRefused, StoredKey, StoredKeys
from tests.support.fakes import FakeClock
from tests.support.keys import stored

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
        self.budgets: list[list[str]] = []
        self.refusal: Exception | None = None
        self.configured = Configured(
            load(sources), sources=sources, first_key="sk-unused", catalogue=nothing_known, clock=FakeClock()
        )

    def write(self, name: str, more: str = "") -> None:
        self.file.write_text(TEXT.replace("NAME", name) + more)

    def take(self, revision: int, *keys: StoredKey) -> None:
        self.configured.take_keys(StoredKeys(revision=revision, keys=keys), self.set_budgets)

    def set_budgets(self, budgets: Iterable[Budget]) -> None:
        self.budgets.append(sorted(budget.id for budget in budgets))

    def key_names(self) -> list[str]:
        return sorted(entry.principal.key_id for entry in self.configured.current.keys.values())

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


def test_stored_keys_are_in_force_beside_the_files_and_their_budgets_before(desk: Desk) -> None:
    before = desk.configured.current
    assert -1 == desk.configured.keys_revision
    desk.take(3, stored("ci", budget={"limit_usd": 1}))

    assert ["ci", "test"] == desk.key_names()
    assert (2, 3) == (desk.configured.current.revision, desk.configured.keys_revision)
    assert [sorted(desk.configured.current.budgets)] == desk.budgets
    assert 1 == len(desk.configured.current.budgets)
    assert ["test"] == [entry.principal.key_id for entry in before.keys.values()]


def test_what_was_read_earlier_does_not_undo_what_was_read_later(desk: Desk) -> None:
    desk.take(3, stored("late"))
    desk.take(2, stored())
    desk.take(3, stored())

    assert ["late", "test"] == desk.key_names()
    assert 1 == len(desk.budgets)


def test_an_empty_store_is_no_news(desk: Desk) -> None:
    before = desk.configured.current
    desk.take(0)

    assert before is desk.configured.current
    assert 0 == desk.configured.keys_revision


def test_only_changed_keys_are_compiled_again(desk: Desk) -> None:
    first, second = stored("a"), msgspec.structs.replace(stored("b"), secrets=(SecretDigest(sha256="cd" * 32),))
    desk.take(1, first, second)
    before = desk.configured.current.keys
    desk.take(2, first, msgspec.structs.replace(second, revision=2))
    after = desk.configured.current.keys

    assert after[b"\xab" * 32] is before[b"\xab" * 32]
    assert after[b"\xcd" * 32] is not before[b"\xcd" * 32]


def test_the_files_key_wins_over_a_stored_one_and_broken_ones_are_left_out(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.take(1, stored("test", revoked=True), msgspec.structs.replace(stored("broken"), settings_json="{}"))

    assert ["test"] == desk.key_names()
    assert not next(iter(desk.configured.current.keys.values())).revoked
    assert "the stored key test is not in force" in caplog.text
    assert "the stored key broken is refused" in caplog.text


async def test_stored_keys_survive_a_reload_and_follow_its_mode(desk: Desk) -> None:
    desk.take(1, stored())
    desk.write("second", "mode: observe\n")
    await desk.reload()

    assert ["ci", "test"] == desk.key_names()
    assert {"observe"} == {entry.principal.mode for entry in desk.configured.current.keys.values()}


async def test_keys_that_change_while_the_upstreams_follow_are_not_lost(desk: Desk) -> None:
    desk.take(1, stored())

    async def follow(snapshot: Snapshot) -> None:
        desk.followed.append(snapshot)
        desk.take(2)

    desk.write("second")
    await desk.configured.reload(follow)

    assert ["test"] == desk.key_names()
    assert 2 == len(desk.followed)
    assert desk.configured.current is desk.followed[-1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('{"name":"sk-looks-like-one"}', "looks like a secret"),
        ('{"name":"ci","team":"acme/none"}', "`team`"),
        ('{"name":"ci","priority":{"default":"none"}}', "`priority`"),
        ('{"name":""}', "`name`"),
    ],
)
def test_what_the_file_could_not_say_cannot_be_stored(settings: str, said: str, desk: Desk) -> None:
    with pytest.raises(SettingsRefused, match=said):
        desk.configured.check(settings)


def test_rules_know_the_keys_of_the_file(desk: Desk) -> None:
    (settings,) = desk.configured.file_keys().values()

    assert {"name": "test"} == msgspec.json.decode(settings)
    assert ("test", None, False) == msgspec.structs.astuple(desk.configured.check(settings))
    assert ["models", "mode"] == [one.limit for one in desk.configured.limits(settings)]
