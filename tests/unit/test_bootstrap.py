"""A router that cannot start says so in one exception, and lets go of what it had opened."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.bootstrap import CannotStart, Router
from router.config import Sources, load
from router.ports.usage import UsageQuery


def router(folder: Path, overrides: Mapping[str, str | int]) -> Router:
    nowhere = folder / "nowhere.yaml"
    store = f"sqlite:///{folder / 'ledger.db'}"
    sources = Sources(
        explicit=None,
        env={},
        overrides={"store.url": store, "server.http.port": 0, "server.ops.port": 0} | dict(overrides),
        system=nowhere,
        user=nowhere,
        project=nowhere,
    )
    return Router(load(sources, new_admin_key="sk-admin-key"), sources=sources, first_key="sk-admin-key")


async def why_not(broken: Router) -> str:
    with pytest.raises(ExceptionGroup) as caught:
        await broken.serve(lambda _running: pytest.fail("it started"))
    (reason,) = caught.value.exceptions
    assert isinstance(reason, CannotStart)
    return str(reason)


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such" / "folder.db"

    assert str(missing) in await why_not(router(tmp_path, {"store.url": f"sqlite:///{missing}"}))


@pytest.mark.parametrize("port", ["server.http.port", "server.ops.port"])
async def test_a_port_in_use_is_named_and_the_store_is_free_again(port: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        reason = await why_not(router(tmp_path, {port: number}))

    assert reason.startswith(f"127.0.0.1:{number}: Address already in use.")
    async with asyncio.timeout(10):
        await router(tmp_path, {}).serve(lambda running: running.stop())
    async with await open_sqlite_reader(f"sqlite:///{tmp_path / 'ledger.db'}") as reader:
        report = await reader.usage(UsageQuery(by=("key",), since_ns=0))
    assert () == report.totals


async def test_a_router_that_is_cancelled_lets_go_of_its_store(tmp_path: Path) -> None:
    serving: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as tasks:
        listening = asyncio.Event()
        serving = tasks.create_task(router(tmp_path, {}).serve(lambda _running: listening.set()))
        await listening.wait()
        serving.cancel()

    assert serving.cancelled()
    for thread in threading.enumerate():
        if "connection_worker" in thread.name:
            thread.join(5)  # it was told to end, and may be about to
            assert not thread.is_alive()
    async with asyncio.timeout(10):
        await router(tmp_path, {}).serve(lambda running: running.stop())
