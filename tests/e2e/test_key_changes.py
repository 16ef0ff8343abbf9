"""Whoever takes something from a key, and however, it is gone within a second; also with the store out of reach."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.support.fake_upstream import FakeUpstream
from tests.support.outage import out_of_reach
from tests.support.process import served
from tests.support.running import ADMIN, KEY, RunningRouter, chat, config_for, http_client, running_router
from tests.support.waiting import pause
from tests.support.wire import CHAT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

KEYS = "/admin/v1/keys"
CHANGES: dict[str, tuple[dict[str, object], str, int]] = {
    "revoked": ({"revoked": True}, CHAT, 401),
    "expired": ({"expires": "2020-01-01"}, CHAT, 401),
    "other models": ({"models": ["other"]}, CHAT, 403),
    "no administrator": ({"permissions": ["inference"]}, KEYS, 403),
    "moved to a team without money": ({"team": "acme/poor"}, CHAT, 429),
}
"""What is changed, and how the next request to which route ends."""
ORGANIZATIONS = [{"name": "acme", "teams": [{"name": "rich"}, {"name": "poor", "budget": {"limit_usd": 0}}]}]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningRouter]:
    async with FakeUpstream() as upstream:
        config = config_for(upstream, organizations=ORGANIZATIONS)
        async with running_router(config, tmp_path_factory.mktemp("router")) as running:
            yield running


async def ask(url: str, key: str, method: str, path: str, body: object = None) -> httpx.Response:
    async with http_client(url, {"authorization": f"Bearer {key}"}) as client:
        return await client.request(method, path, json=body)


async def status(url: str, key: str, path: str = CHAT) -> int:
    reply = await (ask(url, key, "POST", path, chat()) if path == CHAT else ask(url, key, "GET", path))
    return reply.status_code


async def becomes(wanted: int, url: str, key: str, path: str = CHAT, *, within_s: float = 1) -> None:
    async with asyncio.timeout(within_s):
        while await status(url, key, path) != wanted:
            await pause(0.02)


async def made(url: str, name: str) -> str:
    """Make a key of a team that may do everything, and use it."""
    settings = {"name": name, "permissions": ["admin"], "team": "acme/rich"}
    secret: str = (await ask(url, ADMIN, "POST", KEYS, settings)).json()["secret"]
    assert [200, 200] == [await status(url, secret, path) for path in (CHAT, KEYS)]
    return secret


def change_in_store(store: Path, name: str, settings: dict[str, object]) -> None:
    """As another process would, without a word to this one."""
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        patch = "UPDATE stored_keys SET settings = json_patch(settings, ?) WHERE name = ?"
        assert 1 == connection.execute(patch, (json.dumps(settings), name)).rowcount


@pytest.mark.parametrize("change", CHANGES)
async def test_what_the_api_takes_from_a_warm_key_is_gone_with_the_next_request(
    router: RunningRouter, change: str
) -> None:
    """T24: one worker: it is in force when the reply is written."""
    settings, path, refused = CHANGES[change]
    name = change.replace(" ", "-")
    secret = await made(router.url, name)
    if change == "revoked":
        reply = await ask(router.url, ADMIN, "POST", f"{KEYS}/{name}/revoke")
    else:
        reply = await ask(router.url, ADMIN, "PATCH", f"{KEYS}/{name}", settings)

    assert (200, refused) == (reply.status_code, await status(router.url, secret, path)), reply.text


@pytest.mark.parametrize("change", CHANGES)
async def test_what_another_process_takes_from_a_warm_key_is_gone_within_a_second(
    router: RunningRouter, change: str
) -> None:
    settings, path, refused = CHANGES[change]
    name = "other-" + change.replace(" ", "-")
    secret = await made(router.url, name)
    change_in_store(router.folder / "ledger.db", name, settings)

    await becomes(refused, router.url, secret, path)


def change_file(folder: Path, upstream: FakeUpstream, *, keys_grace: str = "5m", **of_key: object) -> None:
    store = {"url": f"sqlite:///{folder / 'ledger.db'}", "keys_grace": keys_grace}
    keys = [{"name": "test", "key": KEY, **of_key}, {"name": "admin", "key": ADMIN, "permissions": ["admin"]}]
    config = config_for(upstream, organizations=ORGANIZATIONS, keys=keys, store=store)
    (folder / "checkrein.yaml").write_text(yaml.safe_dump(config))


async def test_stored_keys_are_good_for_a_grace_while_their_store_is_out_of_reach(tmp_path: Path) -> None:
    """T24: then nobody knows whether they still are; what was changed is in force once the store can be read."""
    async with FakeUpstream() as upstream:
        change_file(tmp_path, upstream, keys_grace="5s")
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            secret = await made(router.url, "stored")
            with out_of_reach(router, tmp_path / "ledger.db"):
                await becomes(503, router.url, "sk-made-elsewhere-meanwhile", within_s=4)
                async with http_client(router.url) as client:
                    ready = await client.get("/readyz")
                assert (200, "ok; the store of keys is out of reach since") == (ready.status_code, ready.text[:43])
                assert 200 == await status(router.url, secret)
                await becomes(503, router.url, secret, within_s=8)
                assert 200 == await status(router.url, KEY)
            change_in_store(tmp_path / "ledger.db", "stored", {"revoked": True})
            await becomes(401, router.url, secret, within_s=2)


async def test_a_key_of_the_file_is_revoked_within_a_second_though_the_store_is_out_of_reach(tmp_path: Path) -> None:
    """T24: the file needs no store."""
    async with FakeUpstream() as upstream:
        change_file(tmp_path, upstream)
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            assert 200 == await status(router.url, KEY)
            with out_of_reach(router, tmp_path / "ledger.db"):
                await pause(1)
                change_file(tmp_path, upstream, revoked=True)
                await becomes(401, router.url, KEY)


async def test_a_stored_key_can_be_taken_away_by_the_file_though_the_store_is_out_of_reach(tmp_path: Path) -> None:
    """T24: a key of the file goes before a stored one of its name, and the file needs no store."""
    async with FakeUpstream() as upstream:
        change_file(tmp_path, upstream)
        async with served(tmp_path, "--config", "checkrein.yaml") as router:
            secret = await made(router.url, "stored")
            with out_of_reach(router, tmp_path / "ledger.db"):
                await becomes(503, router.url, "sk-made-elsewhere-meanwhile", within_s=4)
                assert 200 == await status(router.url, secret)
                change_file(tmp_path, upstream, name="stored", revoked=True)
                await becomes(503, router.url, secret)
            await becomes(401, router.url, secret, within_s=2)
