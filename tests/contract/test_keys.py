"""What every store of keys promises: one key a name, no change lost, each change on record and counted."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from router.adapters.keys_sqlite import open_sqlite_keys
from router.ports import keys as port
from router.ports.keys import KeyChanged, KeyExists, Keys, KeysUnavailable, SecretDigest, StoreFull
from tests.support.keys import NOW_NS, MemoryKeys, change, stored


@pytest.fixture(params=["memory", "sqlite", "sqlite in memory"])
async def keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Keys]:
    urls = {"sqlite": f"sqlite:///{tmp_path / 'keys.db'}", "sqlite in memory": "sqlite:///:memory:"}
    opened: Keys = await open_sqlite_keys(urls[request.param]) if request.param in urls else MemoryKeys()
    yield opened
    await opened.close()


async def test_a_new_store_holds_nothing(keys: Keys) -> None:
    found = await keys.read()

    assert (await keys.revision(), ()) == (found.revision, found.keys)
    assert [] == list(await keys.audit("ci", 10))


async def test_a_key_comes_back_whole_with_the_revision_that_wrote_it(keys: Keys) -> None:
    before = await keys.revision()
    secrets = (SecretDigest(sha256="cd" * 32), SecretDigest(sha256="ab" * 32, until_ns=NOW_NS))
    written = await keys.insert(msgspec.structs.replace(stored(models=["é"]), secrets=secrets), change())

    assert before + 1 == await keys.revision() == written.revision
    assert (written,) == (await keys.read()).keys


async def test_keys_are_read_in_the_order_of_their_names(keys: Keys) -> None:
    for name in ("b", "c", "a"):
        await keys.insert(stored(name), change())

    assert ["a", "b", "c"] == [key.name for key in (await keys.read()).keys]


async def test_a_name_and_a_public_id_are_given_once(keys: Keys) -> None:
    await keys.insert(stored("ci"), change())
    with pytest.raises(KeyExists):
        await keys.insert(msgspec.structs.replace(stored("ci"), public_id="another"), change())
    with pytest.raises(KeyExists):
        await keys.insert(msgspec.structs.replace(stored("cd"), public_id="id-of-ci"), change())

    assert 1 == len((await keys.read()).keys)
    assert 1 == len(await keys.audit("ci", 10))


async def test_a_change_counts_and_is_on_record_newest_first(keys: Keys) -> None:
    first = await keys.insert(stored(), change())
    second = await keys.replace(msgspec.structs.replace(first, settings_json='{"name":"ci","x":1}'), change("update"))

    assert first.revision + 1 == second.revision == await keys.revision()
    assert (second,) == (await keys.read()).keys
    rows = await keys.audit("ci", 10)
    assert [("ci", "update"), ("ci", "create")] == [(row.subject, row.change.action) for row in rows]
    assert [second.revision, first.revision] == [row.revision for row in rows]
    assert change("update") == rows[0].change
    assert 1 == len(await keys.audit("ci", 1))
    assert [] == list(await keys.audit("other", 10))


async def test_of_two_changes_to_what_was_read_the_second_is_refused(keys: Keys) -> None:
    first = await keys.insert(stored(), change())
    await keys.replace(first, change("update"))
    with pytest.raises(KeyChanged):
        await keys.replace(first, change("update"))
    with pytest.raises(KeyChanged):
        await keys.replace(stored("nobody"), change("update"))

    assert 2 == len(await keys.audit("ci", 10))


async def test_a_full_store_takes_no_key(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("router.adapters.keys_sqlite", "tests.support.keys"):
        monkeypatch.setattr(f"{module}.KEYS_MAX", 1)
    await keys.insert(stored("a"), change())
    with pytest.raises(StoreFull):
        await keys.insert(stored("b"), change())

    assert port.KEYS_MAX > 1


async def test_a_closed_store_says_so(keys: Keys) -> None:
    await keys.close()
    for asked in (keys.revision(), keys.read(), keys.insert(stored(), change()), keys.audit("ci", 1)):
        with pytest.raises(KeysUnavailable):
            await asked
