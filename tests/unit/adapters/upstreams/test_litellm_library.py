"""When litellm is imported, how often, and what becomes of those who wait."""

import asyncio
import gc
import subprocess
import sys
import threading

import pytest

from router.adapters.upstreams.litellm_library import Litellm, LitellmLibrary, LitellmMissing
from tests.support.litellm_calls import ScriptedLitellm
from tests.support.waiting import turn, until

LOADED = Litellm(acompletion=ScriptedLitellm(), supported=lambda _model: None)


class Loading:
    """An import that ends when the test says so."""

    def __init__(self) -> None:
        self.count = 0
        self.thread: threading.Thread | None = None
        self.may_end = threading.Event()

    def __call__(self) -> Litellm:
        self.count += 1
        self.thread = threading.current_thread()
        assert self.may_end.wait(10)
        return LOADED


async def test_nothing_is_imported_until_somebody_wants_it_and_the_router_listens() -> None:
    loading = Loading()
    loading.may_end.set()
    library = LitellmLibrary(loading)
    library.listening()
    assert 0 == loading.count

    library.want()
    library.want()
    await until(lambda: loading.count == 1, within_s=5)
    assert LOADED is await library.get()
    assert 1 == loading.count


async def test_who_wants_it_early_waits_for_the_listener() -> None:
    loading = Loading()
    loading.may_end.set()
    library = LitellmLibrary(loading)
    library.want()
    assert 0 == loading.count

    library.listening()
    await until(lambda: loading.count == 1, within_s=5)


async def test_a_cancelled_wait_leaves_the_import_to_the_others() -> None:
    loading = Loading()
    library = LitellmLibrary(loading)
    async with asyncio.TaskGroup() as tasks:
        gone, stays = tasks.create_task(library.get()), tasks.create_task(library.get())
        await turn()
        gone.cancel()
        await turn()
        loading.may_end.set()
    assert gone.cancelled()
    assert LOADED is stays.result()
    assert 1 == loading.count


async def test_it_is_a_daemon_for_which_a_stopping_process_does_not_wait() -> None:
    loading = Loading()
    library = LitellmLibrary(loading)
    library.want()
    library.listening()
    await until(lambda: loading.thread is not None, within_s=5)
    loading.may_end.set()

    assert loading.thread is not None
    assert loading.thread.daemon


async def test_an_import_that_fails_is_told_to_each_and_not_tried_again() -> None:
    def load() -> Litellm:
        raise ImportError("No module named 'litellm' in /secret/path")

    library = LitellmLibrary(load)
    for _ in range(2):
        with pytest.raises(LitellmMissing, match=r"does not load \(ImportError\)") as caught:
            await library.get()
        assert "/secret" not in str(caught.value)


class Panic(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize("trouble", [ImportError, Panic])
async def test_who_waits_for_an_import_that_fails_is_told_and_nothing_else_is_said_of_it(
    trouble: type[BaseException],
) -> None:
    may_end = threading.Event()

    def load() -> Litellm:
        assert may_end.wait(10)
        raise trouble

    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: said.append(context["message"]))
    library = LitellmLibrary(load)
    async with asyncio.TaskGroup() as tasks:
        gone, stays = tasks.create_task(library.get()), tasks.create_task(_missing(library))
        await turn()
        gone.cancel()
        await turn()
        may_end.set()

    assert f"({trouble.__name__})" in stays.result()
    del gone, stays, tasks, library
    gc.collect()  # asyncio complains of an exception that nobody asked for when it is thrown away
    assert [] == said


async def _missing(library: LitellmLibrary) -> str:
    with pytest.raises(LitellmMissing) as caught:
        async with asyncio.timeout(5):
            await library.get()
    return str(caught.value)


@pytest.mark.slow
def test_the_import_asks_nobody_prints_nothing_and_leaves_the_collector_on() -> None:
    script = """
import gc, socket, sys
def refuse(*arguments): raise AssertionError(arguments)
socket.socket.connect = socket.getaddrinfo = refuse
from router.adapters.upstreams.litellm_library import load_litellm
assert "litellm" not in sys.modules
litellm = load_litellm()
assert "litellm" in sys.modules and gc.isenabled()
assert "tools" in litellm.supported("gemini/some-model")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert gc.isenabled()
