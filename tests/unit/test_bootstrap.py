"""A router that cannot start says so in one exception, and lets go of what it had opened."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from router.adapters.sql.sqlite_reader import open_sqlite_reader
from router.bootstrap import CannotStart, Router, Running
from router.config import Sources, load
from router.ports.usage import UsageQuery


def router(folder: Path, overrides: Mapping[str, str | int]) -> Router:
    nowhere = folder / "nowhere.yaml"
    store = f"sqlite:///{folder / 'ledger.db'}"
    sources = Sources(
        explicit=None,
        env={},
        overrides={"store.url": store, "server.http.port": 0, "server.ops.port": 0, "server.grpc.port": 0}
        | dict(overrides),
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


@pytest.mark.parametrize("port", ["server.http.port", "server.ops.port", "server.grpc.port"])
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


async def test_ports_that_were_had_are_given_back_where_that_of_grpc_cannot_be(tmp_path: Path) -> None:
    """The one of HTTP is bound before it, and nobody is to wait for it until this process is gone."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        http = probe.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await why_not(router(tmp_path, {"server.http.port": http, "server.grpc.port": taken.getsockname()[1]}))

    socket.create_server(("127.0.0.1", http)).close()


@pytest.mark.parametrize("listener", ["http", "grpc"])
async def test_a_certificate_that_is_none_is_an_obstacle_and_nothing_stays_open(listener: str, tmp_path: Path) -> None:
    file = tmp_path / "none.pem"
    file.write_text("no certificate")
    name = f"server.{listener}.tls"

    assert await why_not(router(tmp_path, {f"{name}.cert_file": str(file), f"{name}.key_file": str(file)}))
    async with asyncio.timeout(10):
        await router(tmp_path, {}).serve(lambda running: running.stop())


async def test_grpc_has_a_port_of_its_own_unless_it_is_not_served(tmp_path: Path) -> None:
    ports = []
    for text in ("server: { grpc: { port: 0 } }", "server: { grpc: null }"):
        file = tmp_path / "own.yaml"
        file.write_text(f"version: 1\n{text}\n")
        store = f"sqlite:///{tmp_path / 'ledger.db'}"
        nowhere = tmp_path / "nowhere.yaml"
        sources = Sources(
            explicit=file,
            env={},
            overrides={"store.url": store, "server.http.port": 0, "server.ops.port": 0},
            system=nowhere,
            user=nowhere,
            project=nowhere,
        )
        serving = Router(load(sources, new_admin_key="sk-admin-key"), sources=sources, first_key="sk-admin-key")

        def note(running: Running) -> None:
            ports.append(running.grpc_port)
            running.stop()

        async with asyncio.timeout(20):
            await serving.serve(note)

    assert ports[0] is not None
    assert ports[0] > 0
    assert [None] == ports[1:]


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
