"""What a person sees who talks to a router at a terminal, and what the router has of it in its ledger."""

import asyncio
import contextlib
import os
import pty
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.process import CHECKREIN, clean_env, finished
from tests.support.running import KEY, config_for, running_router
from tests.support.waiting import pause

pytestmark = pytest.mark.slow


class Terminal:
    """A process at a terminal of its own, and all that it showed."""

    def __init__(self, process: asyncio.subprocess.Process, keyboard: int) -> None:
        self.process = process
        self._keyboard = keyboard
        self.screen = ""

    async def shows(self, words: str) -> None:
        """Wait until `words` are shown, and forget what is up to them."""
        async with asyncio.timeout(20):
            while words not in self.screen:
                with contextlib.suppress(BlockingIOError):
                    self.screen += os.read(self._keyboard, 65_536).decode()
                await pause(0.01)
        self.screen = self.screen.partition(words)[2]

    def types(self, text: str) -> None:
        os.write(self._keyboard, text.encode())


@contextlib.asynccontextmanager
async def at_terminal(folder: Path, *arguments: str) -> AsyncIterator[Terminal]:
    keyboard, screen = pty.openpty()
    os.set_blocking(keyboard, False)
    try:
        process = await asyncio.create_subprocess_exec(
            *CHECKREIN,
            *arguments,
            stdin=screen,
            stdout=screen,
            stderr=screen,
            cwd=folder,
            env=clean_env({"CHECKREIN_API_KEY": KEY, "TERM": "dumb"}),
        )
    finally:
        os.close(screen)
    try:
        yield Terminal(process, keyboard)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(keyboard)


async def test_an_interrupt_cuts_a_reply_off_and_the_conversation_goes_on(tmp_path: Path) -> None:
    never = asyncio.Event()

    def half_told(request: Request) -> Reply:
        return fake.event_stream(*fake.stream(request, 20).steps[:10], never)

    async with FakeUpstream(handler=lambda request: fake.stream(request, 3)) as upstream:
        upstream.script(half_told)
        async with running_router(config_for(upstream), tmp_path) as router:
            async with at_terminal(tmp_path, "chat", "small", "--url", router.url) as terminal:
                await terminal.shows("> ")
                terminal.types("hello\n")
                await terminal.shows("w8")
                terminal.process.send_signal(signal.SIGINT)
                await terminal.shows("cut off")
                await terminal.shows("> ")
                terminal.types("again\n")
                await terminal.shows("w0 w1 w2")
                await terminal.shows("fake/fake-model, ")
                await terminal.shows("3 out, $0.0000")
                await terminal.shows("> ")
                terminal.types("\x04")
                async with asyncio.timeout(20):
                    assert 0 == await terminal.process.wait()
            await router.idle()
            rows = router.rows()

    assert ["client_cancelled", "completed"] == [row["outcome"] for row in rows]
    roles = [message["role"] for message in upstream.requests[1].json["messages"]]  # type: ignore[attr-defined]
    assert ["user", "assistant", "user"] == roles


async def test_a_second_interrupt_ends_the_program(tmp_path: Path) -> None:
    async with (
        FakeUpstream() as upstream,
        running_router(config_for(upstream), tmp_path) as router,
        at_terminal(tmp_path, "chat", "small", "--url", router.url) as terminal,
    ):
        await terminal.shows("> ")
        terminal.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            assert 130 == await terminal.process.wait()


async def test_a_single_question_is_answered_on_standard_output_alone(tmp_path: Path) -> None:
    async with (
        FakeUpstream(handler=lambda request: fake.stream(request, 3)) as upstream,
        running_router(config_for(upstream), tmp_path) as router,
    ):
        env = {"CHECKREIN_API_KEY": KEY}
        done = await finished(tmp_path, "chat", "small", "hi", "--url", router.url, env=env)
        refused = await finished(tmp_path, "chat", "small", "hi", "--url", router.url, "--key", "sk-wrong-key", env=env)

    assert (0, "w0 w1 w2\n", "") == (done.status, done.out, done.err)
    assert (1, "") == (refused.status, refused.out)
    assert "key" in refused.err


async def test_the_doctor_works_beside_a_running_router(tmp_path: Path) -> None:
    async with (
        FakeUpstream(handler=lambda request: fake.stream(request, 1)) as upstream,
        running_router(config_for(upstream), tmp_path) as router,
    ):
        done = await finished(tmp_path, "doctor", "--config", "checkrein.yaml")
        assert [] == router.rows()

    assert (0, "") == (done.status, done.err)
    assert "1 out, $0." in done.out
