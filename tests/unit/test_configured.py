"""A reload swaps the configuration whole, or says why not and changes nothing; stored keys come beside the file's."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router import configured as module
from router.config import Sources, load
from router.configured import UNSEEN_NS_MIN, Configured, Stored, read_stored
from router.domain.catalog import Snapshot
from router.domain.governance.budget import Budget, BudgetId, TopUp
from router.ports.keys import SecretDigest, SettingsRefused, StoredKey
from router.ports.records import Record, RecordKind, TopUpTerms
from tests.support.fakes import FakeClock
from tests.support.keys import MemoryKeys, change, stored
from tests.support.records import MemoryRecords, record

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
        self.records: tuple[Record, ...] = ()
        self.refusal: Exception | None = None
        self.clock = FakeClock()
        self.configured = Configured(
            load(sources),
            sources=sources,
            first_key="sk-unused",
            catalogues=lambda _files: nothing_known,
            clock=self.clock,
        )

    def write(self, name: str, more: str = "") -> None:
        self.file.write_text(TEXT.replace("NAME", name) + more)

    async def take(self, revision: int, *keys: StoredKey) -> None:
        await self.configured.take_stored(Stored(revision=revision, keys=keys, records=self.records), self.set_budgets)

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


async def test_stored_keys_are_in_force_beside_the_files_and_their_budgets_before(desk: Desk) -> None:
    before = desk.configured.current
    assert -1 == desk.configured.stored_revision
    await desk.take(3, stored("ci", budget={"limit_usd": 1}))

    assert ["ci", "test"] == desk.key_names()
    assert (2, 3) == (desk.configured.current.revision, desk.configured.stored_revision)
    assert [sorted(desk.configured.current.budgets)] == desk.budgets
    assert 1 == len(desk.configured.current.budgets)
    assert ["test"] == [entry.principal.key_id for entry in before.keys.values()]


async def test_what_was_read_earlier_does_not_undo_what_was_read_later(desk: Desk) -> None:
    await desk.take(3, stored("late"))
    await desk.take(2, stored())
    await desk.take(3, stored())

    assert ["late", "test"] == desk.key_names()
    assert 1 == len(desk.budgets)


async def test_an_empty_store_is_no_news(desk: Desk) -> None:
    before = desk.configured.current
    await desk.take(0)

    assert before is desk.configured.current
    assert 0 == desk.configured.stored_revision


async def test_only_changed_keys_are_compiled_again(desk: Desk) -> None:
    first, second = stored("a"), msgspec.structs.replace(stored("b"), secrets=(SecretDigest(sha256="cd" * 32),))
    await desk.take(1, first, second)
    before = desk.configured.current.keys
    await desk.take(2, first, msgspec.structs.replace(second, revision=2))
    after = desk.configured.current.keys

    assert after[b"\xab" * 32] is before[b"\xab" * 32]
    assert after[b"\xcd" * 32] is not before[b"\xcd" * 32]


async def test_the_files_key_wins_over_a_stored_one_and_broken_ones_are_left_out(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.take(1, stored("test", revoked=True), msgspec.structs.replace(stored("broken"), settings_json="{}"))

    assert ["test"] == desk.key_names()
    assert not next(iter(desk.configured.current.keys.values())).revoked
    assert "the stored key test is not in force" in caplog.text
    assert "the stored key broken is refused" in caplog.text


async def test_stored_keys_survive_a_reload_and_follow_its_mode(desk: Desk) -> None:
    await desk.take(1, stored())
    desk.write("second", "mode: observe\n")
    await desk.reload()

    assert ["ci", "test"] == desk.key_names()
    assert {"observe"} == {entry.principal.mode for entry in desk.configured.current.keys.values()}


async def test_keys_that_change_while_the_upstreams_follow_are_not_lost(desk: Desk) -> None:
    await desk.take(1, stored())

    async def follow(snapshot: Snapshot) -> None:
        desk.followed.append(snapshot)
        await desk.take(2)

    desk.write("second")
    await desk.configured.reload(follow)

    assert ["test"] == desk.key_names()
    assert 2 == len(desk.followed)
    assert desk.configured.current is desk.followed[-1]


@pytest.mark.parametrize(
    ("settings", "said", "param"),
    [
        ('{"name":"sk-looks-like-one"}', "looks like a secret", "name"),
        ('{"name":"ci","team":"acme/none"}', "`team`", "team"),
        ('{"name":"ci","priority":{"default":"none"}}', "`priority`", "priority"),
        ('{"name":""}', "`name`", "name"),
        ('{"name":"ci","limits":{"rpm":0}}', "`limits.rpm`", "limits.rpm"),
    ],
)
def test_what_the_file_could_not_say_cannot_be_stored(settings: str, said: str, param: str, desk: Desk) -> None:
    with pytest.raises(SettingsRefused, match=said) as refused:
        desk.configured.check(settings)

    assert param == refused.value.param


def test_rules_know_the_keys_of_the_file(desk: Desk) -> None:
    (settings,) = desk.configured.file_keys().values()

    assert {"name": "test"} == msgspec.json.decode(settings)
    assert ("test", None, None, False) == msgspec.structs.astuple(desk.configured.check(settings))
    assert ["models", "mode"] == [one.limit for one in desk.configured.limits(settings)]


# --- tenants, budgets and top-ups -------------------------------------------------------------------------------------

LAB = record("acme/lab", RecordKind.TEAM, budget={"limit_usd": 1}, limits={"rpm": 9})
ACME = record("acme")
EVERY_KEY = record("all", RecordKind.BUDGET, scope={"key": "*"}, limit_requests=5)
LAB_BUDGET = "team/acme/lab/usd/month@UTC"
TOPPED = TopUpTerms(budget=LAB_BUDGET, amount=7, until_ns=1, value="acme/lab")


def top_up(terms: TopUpTerms) -> Record:
    return msgspec.structs.replace(record("t1", RecordKind.TOP_UP), settings_json=msgspec.json.encode(terms).decode())


def accounts_of(desk: Desk, key: str) -> list[str]:
    entries = desk.configured.current.keys.values()
    return [budget for entry in entries if entry.principal.key_id == key for budget, _ in entry.principal.accounts]


async def test_stored_tenants_hold_for_keys_of_store_and_file(desk: Desk) -> None:
    desk.records = (ACME, LAB, EVERY_KEY, record("ann", RecordKind.USER, limits={"rpm": 3}))
    await desk.take(1, stored(team="acme/lab"))

    assert ["budget/all/key=*/requests/month@UTC", LAB_BUDGET] == accounts_of(desk, "ci")
    assert ["budget/all/key=*/requests/month@UTC"] == accounts_of(desk, "test")
    assert 3 == desk.configured.current.users["ann"].rate_limits[0].limit
    assert {LAB_BUDGET, "budget/all/key=*/requests/month@UTC"} == set(desk.budgets[-1])


async def test_a_budget_that_calls_decide_on_is_in_their_tree(desk: Desk) -> None:
    desk.records = (record("agents", RecordKind.BUDGET, scope={"agent": "*"}, limit_usd=1),)
    await desk.take(1)

    assert ["budget/agents/agent=*/usd/month@UTC"] == [one.id for one in desk.configured.current.tree_budgets]


async def test_a_deleted_tenant_leaves_the_paths_of_all_keys(desk: Desk) -> None:
    desk.records = (ACME, LAB, EVERY_KEY)
    await desk.take(1, stored(team="acme/lab"))
    desk.records = (ACME,)
    await desk.take(2, stored(team="acme/lab"))

    assert ([], []) == (accounts_of(desk, "ci"), accounts_of(desk, "test"))
    assert {} == dict(desk.configured.current.budgets)
    desk.records = ()
    await desk.take(3)
    assert ["test"] == desk.key_names()


async def test_keys_are_compiled_again_when_tenants_change_and_only_then(desk: Desk) -> None:
    desk.records = (ACME, LAB)
    await desk.take(1, stored(team="acme/lab"))
    before = dict(desk.configured.current.keys)
    desk.records = (ACME, LAB, top_up(TOPPED))
    await desk.take(2, stored(team="acme/lab"))
    same = dict(desk.configured.current.keys)
    desk.records = (ACME, msgspec.structs.replace(LAB, settings_json='{"name":"acme/lab"}'))
    await desk.take(3, stored(team="acme/lab"))

    assert all(same[sha256] is before[sha256] for sha256 in before)
    assert [] == accounts_of(desk, "ci")


async def test_a_top_up_is_part_of_the_budget_it_names_and_of_no_other(desk: Desk) -> None:
    desk.records = (ACME, LAB, EVERY_KEY, top_up(TOPPED), msgspec.structs.replace(top_up(TOPPED), name="t2"))
    await desk.take(1)
    budgets = desk.configured.current.budgets

    assert (TopUp(amount=7, until_ns=1, value="acme/lab"),) * 2 == budgets[BudgetId(LAB_BUDGET)].top_ups
    assert () == budgets[BudgetId("budget/all/key=*/requests/month@UTC")].top_ups


async def test_stored_tenants_survive_a_reload_that_cannot_have_their_names(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.records = (ACME, LAB)
    await desk.take(1, stored(team="acme/lab"))
    desk.write("second", "organizations: [{ name: acme, teams: [{ name: lab, budget: { limit_tokens: 3 } }] }]\n")
    await desk.reload()

    assert ["team/acme/lab/tokens/month@UTC"] == accounts_of(desk, "ci")
    assert "the stored team acme/lab is not in force" in caplog.text


@pytest.mark.parametrize("settings", ["{", "{}", '{"name":"acme/other"}', '{"name":"acme/lab","wrong":1}'])
async def test_a_broken_record_is_left_out_and_said(
    settings: str, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.records = (ACME, msgspec.structs.replace(LAB, settings_json=settings), EVERY_KEY)
    await desk.take(1, stored(team="acme/lab"))

    assert ["budget/all/key=*/requests/month@UTC"] == accounts_of(desk, "ci")
    assert "the stored team acme/lab is left out" in caplog.text


async def test_what_changed_between_two_reads_is_read_again(desk: Desk) -> None:
    keys, records = MemoryKeys(), MemoryRecords()
    await keys.insert(stored(), change())
    await keys.insert(stored("b"), change())
    await records.insert(ACME, change())

    found = await read_stored(keys, records)
    assert (1, 2, 1) == (found.revision, len(found.keys), len(found.records))


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (RecordKind.TEAM, '{"name":"nobody/lab"}', "'nobody' is not there"),
        (RecordKind.TEAM, '{"name":"lab"}', "`name` is not a team"),
        (RecordKind.ORGANIZATION, '{"name":"a","teams":[{"name":"b"}]}', "`teams` are resources"),
        (RecordKind.BUDGET, '{"name":"b","limit_usd":1,"scope":{"team":"acme/none"}}', "names no team"),
        (RecordKind.BUDGET, '{"name":"b","limit_usd":1,"scope":{"organization":"none"}}', "names no organization"),
        (RecordKind.BUDGET, '{"name":"b","limit_usd":1,"scope":{"key":"none"}}', "names no key"),
        (RecordKind.BUDGET, '{"name":"b","limit_usd":1,"scope":{"model":"none"}}', "names no model"),
        (RecordKind.USER, '{"name":"sk-looks-like-one"}', "looks like a secret"),
    ],
)
async def test_a_record_that_mentions_what_is_not_there_cannot_be_stored(
    kind: RecordKind, settings: str, said: str, desk: Desk
) -> None:
    desk.records = (ACME,)
    await desk.take(1)
    with pytest.raises(SettingsRefused, match=said) as refused:
        desk.configured.check_record(kind, settings)

    noun = said.rpartition(" ")[2]
    expected = f"scope.{noun}" if said.startswith("names no") else "teams" if "`teams`" in said else "name"
    assert expected == refused.value.param


async def test_a_record_may_mention_what_file_or_store_have(desk: Desk) -> None:
    desk.records = (ACME, LAB)
    await desk.take(1, stored(team="acme/lab"))
    scopes = ('{"team":"acme/lab"}', '{"key":"test"}', '{"key":"ci"}', '{"model":"first"}', '{"model":"*"}')
    for scope in scopes:
        settings = f'{{"name":"b","limit_usd":1,"scope":{scope}}}'
        assert "b" == desk.configured.check_record(RecordKind.BUDGET, settings)

    assert "acme/new" == desk.configured.check_record(RecordKind.TEAM, '{"name":"acme/new"}')
    assert "ci" == desk.configured.check('{"name":"ci","team":"acme/lab"}').name


async def test_rules_know_the_tenants_of_the_file_and_their_lines(desk: Desk) -> None:
    desk.write("second", "users:\n  - name: ann\n    limits: { rpm: 3 }\n")
    await desk.reload()
    (filed,) = desk.configured.filed(RecordKind.USER).values()

    assert {"name": "ann", "limits": {"rpm": 3}} == msgspec.json.decode(filed.settings_json)
    assert filed.place.endswith("checkrein.yaml:6")
    assert {} == desk.configured.filed(RecordKind.TOP_UP)


async def test_a_tenant_is_needed_by_keys_in_use_its_teams_and_budgets(desk: Desk) -> None:
    desk.records = (ACME, LAB)
    await desk.take(1, stored(team="acme/lab", user="ann"))
    needed = desk.configured.needed_by

    assert "the key ci" == needed(RecordKind.USER, "ann") == needed(RecordKind.TEAM, "acme/lab")
    await desk.take(2, stored(team="acme/lab", user="ann", revoked=True))
    assert needed(RecordKind.USER, "ann") is None
    assert needed(RecordKind.TEAM, "acme/lab") is None
    assert "the team acme/lab" == needed(RecordKind.ORGANIZATION, "acme")
    assert needed(RecordKind.BUDGET, "acme") is None
    desk.records = (ACME, record("b", RecordKind.BUDGET, scope={"organization": "acme"}, limit_usd=1))
    await desk.take(3)
    assert "the budget b" == needed(RecordKind.ORGANIZATION, "acme")
    assert LAB_BUDGET == desk.configured.budget_of(RecordKind.TEAM, LAB.settings_json)


async def test_only_keys_of_tenants_that_changed_are_compiled_again(desk: Desk) -> None:
    keys = [
        msgspec.structs.replace(stored(name, team=team, user=user), secrets=(SecretDigest(sha256=sha256 * 32),))
        for name, team, user, sha256 in (
            ("of-lab", "acme/lab", None, "01"),
            ("of-other", "acme/other", None, "02"),
            ("of-ann", None, "ann", "03"),
            ("alone", None, None, "04"),
        )
    ]

    async def compiled_again(*records: Record) -> set[str]:
        before = desk.configured.current.keys
        desk.records = records
        await desk.take(desk.configured.stored_revision + 1, *keys)
        after = desk.configured.current.keys
        return {str(one.principal.key_id) for sha256, one in after.items() if before.get(sha256) is not one} - {"test"}

    others = (ACME, record("acme/other", RecordKind.TEAM), record("ann", RecordKind.USER, limits={"rpm": 3}))
    assert {"of-lab", "of-other", "of-ann", "alone"} == await compiled_again(LAB, *others)
    assert {"of-lab"} == await compiled_again(
        msgspec.structs.replace(LAB, settings_json='{"name":"acme/lab"}'), *others
    )
    assert {"of-lab"} == await compiled_again(*others, LAB)
    assert {"of-lab", "of-other"} == await compiled_again(record("acme", limits={"rpm": 1}), LAB, *others[1:])
    assert {"of-ann"} == await compiled_again(record("acme", limits={"rpm": 1}), LAB, others[1])
    assert {"of-lab"} == await compiled_again(record("acme", limits={"rpm": 1}), others[1])
    assert {"of-lab"} == await compiled_again(record("acme", limits={"rpm": 1}), LAB, others[1])
    assert {"of-lab", "of-other", "of-ann", "alone"} == await compiled_again(EVERY_KEY)


def test_the_store_is_out_of_reach_when_no_look_at_it_has_succeeded_for_a_while(desk: Desk) -> None:
    assert 0 == desk.configured.store_unseen_ns
    desk.configured.store_seen()
    desk.clock.pass_ns(UNSEEN_NS_MIN)
    assert 0 == desk.configured.store_unseen_ns
    desk.clock.pass_ns(1)
    assert UNSEEN_NS_MIN + 1 == desk.configured.store_unseen_ns
    desk.configured.store_seen()
    assert 0 == desk.configured.store_unseen_ns


async def test_a_price_file_that_changes_is_a_change_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text("{}")
    desk = Desk(tmp_path)
    desk.write("priced", "prices: { files: [prices.json] }\n")
    assert desk.configured.files_changed()
    assert (2, ["priced"]) == await desk.reload()

    assert not desk.configured.files_changed()
    (tmp_path / "prices.json").write_text("{ }  ")
    os.utime(tmp_path / "prices.json", ns=(1, 1))
    assert desk.configured.files_changed()
    assert not desk.configured.files_changed()


OTHER_KEY = msgspec.structs.replace(stored("other", budget={"limit_usd": 3}), secrets=(SecretDigest(sha256="cd" * 32),))


async def test_calls_are_served_while_what_is_stored_is_compiled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    going, may_end = asyncio.Event(), threading.Event()
    loop, join = asyncio.get_running_loop(), module._join

    def held_up(*args: Any) -> Any:
        loop.call_soon_threadsafe(going.set)
        assert may_end.wait(10)
        return join(*args)

    monkeypatch.setattr(module, "_join", held_up)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.take(1, stored("ci")))
        await going.wait()
        meanwhile = desk.key_names()
        may_end.set()

    assert ["test"] == meanwhile
    assert ["ci", "test"] == desk.key_names()


async def test_a_reload_meanwhile_is_not_undone_by_what_was_being_compiled(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, may_end = asyncio.Event(), threading.Event()
    loop, join = asyncio.get_running_loop(), module._join

    def held_up(*args: Any) -> Any:
        if not going.is_set():
            loop.call_soon_threadsafe(going.set)
            assert may_end.wait(10)
        return join(*args)

    monkeypatch.setattr(module, "_join", held_up)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(desk.take(1, stored("ci")))
        await going.wait()
        desk.write("second")
        await desk.reload()
        may_end.set()

    assert ["second"] == list(desk.configured.current.models)
    assert ["ci", "test"] == desk.key_names()


async def test_the_later_of_two_that_come_at_once_is_in_force(desk: Desk) -> None:
    async with asyncio.TaskGroup() as tasks:
        for revision, name in ((2, "late"), (1, "early"), (3, "last")):
            tasks.create_task(desk.take(revision, stored(name)))

    assert (["last", "test"], 3) == (desk.key_names(), desk.configured.stored_revision)


async def test_only_budgets_that_are_others_than_before_are_set_again(desk: Desk) -> None:
    await desk.take(1, stored("ci", budget={"limit_usd": 1}))
    await desk.take(2, stored("ci", budget={"limit_usd": 1}), msgspec.structs.replace(OTHER_KEY, revision=2))
    await desk.take(3, stored("ci", budget={"limit_usd": 2}), msgspec.structs.replace(OTHER_KEY, revision=2))

    mine, others = "key/ci/usd/month@UTC", "key/other/usd/month@UTC"
    assert [[mine], [others], [mine]] == desk.budgets
