"""Recordings over sockets that are passed on while they come: nothing is held, every law holds, each end is honest."""

import asyncio
import hashlib
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.support.fake_upstream import FakeUpstream, Reply, error
from tests.support.forms import BOUNDARY, CONTENT_TYPE, form, post_form
from tests.support.pool import RICH_KEYS, Pool, at, pool, served_by
from tests.support.process import served
from tests.support.running import KEY, config_for
from tests.support.waiting import until
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MIB = 1 << 20
SOUND = random.Random(1).randbytes(6 * MIB)
ROUTE = "/v1/audio/transcriptions"
HEARD = {"text": "hello", "usage": {"type": "duration", "seconds": 12.5}}
SAYS = Reply(steps=(json.dumps(HEARD).encode(),))
LONG = SOUND * 3
"""More than the sockets between two processes hold."""
PER_S = 100_000
"""Nano-USD."""


@asynccontextmanager
async def providers(folder: Path, *, stream_idle: str, read_timeout: str) -> AsyncIterator[Pool]:
    price = {"per_second_audio": PER_S / 10**9}
    places = [at(up, model="up-whisper", tier=tier, price=price) for tier, up in enumerate("ab", 1)]
    lost = at("nobody", model="up-whisper", price=price)
    poor = {"name": "poor", "key": "sk-poor-key", "budget": {"limit_usd": 0.01, "window": "lifetime"}}
    members = {
        name: {"dialects": ["chat", "audio"], "timeouts": {"stream_idle": stream_idle, "total": "20s"}}
        for name in ("a", "b", "nobody")
    }
    members["nobody"]["base_url"] = "http://127.0.0.1:9/v1"
    async with pool(
        folder,
        "a",
        "b",
        "nobody",
        models=[
            served_by("whisper", *places),
            served_by("astray", lost, {**places[1], "tier": 2}),
            served_by("small", at("a")),
        ],
        keys=[*RICH_KEYS, poor],
        members=members,
        http={"max_body": "20MiB", "read_timeout": read_timeout},
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    async with providers(tmp_path_factory.mktemp("patient"), stream_idle="10s", read_timeout="10s") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    async with providers(tmp_path_factory.mktemp("hasty"), stream_idle="700ms", read_timeout="500ms") as running:
        yield running


@pytest.fixture
def live(patient: Pool) -> Pool:
    return patient.start_over()


@pytest.fixture
def timed(hasty: Pool) -> Pool:
    return hasty.start_over()


def recording(*after: tuple[str, str | bytes], sound: bytes = SOUND, model: str = "whisper") -> bytes:
    return form(("model", model), ("language", "de"), ("file", sound), *after)


async def ask(live: Pool, body: bytes, *, key: str = KEY, length: int | None = None) -> Answer:
    async with wire(live.router.http_port) as caller:
        await caller.send(post_form(ROUTE, body, key=key, length=length))
        return await caller.answer()


async def last_row(live: Pool) -> dict[str, Any]:
    await live.router.idle(within_s=3)
    row: dict[str, Any] = live.router.rows()[-1]
    accounts = await live.router.accounts()
    assert {0} >= {account["reserved"] for account in accounts.values()}
    return row


async def end_of(live: Pool) -> tuple[str, int, int]:
    """How the last call ended, what it cost, and how many attempts it made."""
    row = await last_row(live)
    return row["outcome"], row["cost_nano_usd"], len(live._attempts([row["id"]]))


async def test_it_goes_on_before_it_has_come_and_its_money_is_held_before(live: Pool) -> None:
    live.script(a=SAYS)
    sent = post_form(ROUTE, body := recording(("response_format", "json"), ("prompt", "a talk"), ("new", "x")))
    async with wire(live.router.http_port) as caller:
        await caller.send(sent[: 3 * MIB])
        await until(lambda: live.upstreams["a"].taken_bytes > 2 * MIB, within_s=5)
        held = max(account["reserved"] for account in (await live.router.accounts()).values())
        await caller.send(sent[3 * MIB :])
        answer = await caller.answer()
    (asked,) = live.upstreams["a"].requests

    wanted = body.replace(b"\r\n\r\nwhisper\r\n", b"\r\n\r\nup-whisper\r\n")
    assert (200, HEARD) == (answer.status, json.loads(answer.body))
    assert hashlib.sha256(wanted).digest() == hashlib.sha256(asked.body).digest()
    assert (CONTENT_TYPE, str(len(wanted))) == (asked.headers["content-type"], asked.headers["content-length"])
    assert len(SOUND) * PER_S // 500 <= held <= (len(SOUND) + 2_000) * PER_S // 500
    assert ("completed", 12_500 * PER_S // 1_000, 1) == await end_of(live)


async def test_what_nobody_tells_is_guessed_from_what_came_of_the_file(live: Pool) -> None:
    live.script(a=Reply(headers=(("content-type", "text/plain"),), steps=(b"hello",)))
    answer = await ask(live, recording(sound=SOUND[: 4 * MIB]))

    assert 200 == answer.status
    assert 4 * MIB * PER_S // 4_000 == (await last_row(live))["cost_nano_usd"]


async def test_a_caller_that_leaves_midway_ends_the_provider_at_once_and_owes_nothing(live: Pool) -> None:
    sent = post_form(ROUTE, recording())
    async with wire(live.router.http_port) as caller:
        await caller.send(sent[: 3 * MIB])
        await until(lambda: live.upstreams["a"].taken_bytes > 2 * MIB, within_s=5)
        caller.close()
    async with asyncio.timeout(1):
        await live.upstreams["a"].left(0)

    assert ("client_cancelled", 0, 1) == await end_of(live)
    assert {} == live.asked


async def test_a_caller_that_falls_silent_midway_is_told_and_the_provider_left(timed: Pool) -> None:
    async with wire(timed.router.http_port) as caller:
        await caller.send(post_form(ROUTE, recording())[: 3 * MIB])
        answer = await caller.answer()
    await timed.upstreams["a"].left(0)

    assert 408 == answer.status
    assert ("client_cancelled", 0, 1) == await end_of(timed)


async def test_a_provider_that_answers_early_is_heard(live: Pool) -> None:
    live.upstreams["a"].early = (2 * MIB, error(413, "too long a talk"))
    answer = await ask(live, recording())

    assert (413, "too long a talk") == (answer.status, str(answer.error["message"])[:15])
    assert ("failed", 0, 1) == await end_of(live)


async def test_a_provider_that_declines_at_once_is_followed_by_another(live: Pool) -> None:
    live.upstreams["a"].early = (100_000, error(429, "busy"))
    live.script(b=SAYS)
    sent = post_form(ROUTE, body := recording())
    async with wire(live.router.http_port) as caller:
        await caller.send(sent[:600_000])
        await until(lambda: live.upstreams["b"].taken_bytes > 400_000, within_s=5)
        await caller.send(sent[600_000:])
        answer = await caller.answer()
    (asked,) = live.upstreams["b"].requests

    assert 200 == answer.status
    assert hashlib.sha256(body.replace(b"\r\nwhisper", b"\r\nup-whisper")).digest() == (
        hashlib.sha256(asked.body).digest()
    )
    assert ("completed", 12_500 * PER_S // 1_000, 2) == await end_of(live)


async def test_who_cannot_be_reached_is_followed_by_another(live: Pool) -> None:
    live.script(b=SAYS)
    answer = await ask(live, body := recording(model="astray"))
    (asked,) = live.upstreams["b"].requests

    assert (200, body.replace(b"astray", b"up-whisper")) == (answer.status, asked.body)
    assert 2 == (await end_of(live))[2]


async def test_what_is_gone_is_sent_to_nobody_else_and_the_caller_is_told(live: Pool) -> None:
    live.script(a=error(500, "broken"), b=SAYS)
    answer = await ask(live, recording())

    assert {"a": 1} == live.asked
    assert 502 == answer.status
    assert "Nobody else was asked" in str(answer.error["message"])
    assert ("failed", 0, 1) == await end_of(live)


async def test_a_provider_that_breaks_off_midway_has_nothing_to_bill(live: Pool) -> None:
    sent = post_form(ROUTE, recording())
    async with wire(live.router.http_port) as caller:
        await caller.send(sent[: 3 * MIB])
        await until(lambda: live.upstreams["a"].taken_bytes > 2 * MIB, within_s=5)
        live.upstreams["a"].close_idle()
        answer = await caller.answer()

    assert 502 == answer.status
    assert "Nobody else was asked" in str(answer.error["message"])
    assert ("failed", 0, 1) == await end_of(live)


async def test_a_caller_that_waits_to_be_told_to_send_is_told(live: Pool) -> None:
    """As curl does with a body of a MiB or more."""
    live.script(a=SAYS)
    sent = post_form(ROUTE, recording()).replace(b"host: router", b"host: router\r\nexpect: 100-continue")
    head, blank, body = sent.partition(b"\r\n\r\n")
    async with wire(live.router.http_port) as caller:
        await caller.send(head + blank)
        assert 100 == (await caller.answer()).status
        await caller.send(body)
        assert 200 == (await caller.answer()).status


async def test_a_provider_that_takes_nothing_more_is_given_up(timed: Pool) -> None:
    timed.upstreams["a"].full_at = MIB
    answer = await ask(timed, recording(sound=LONG))

    assert 504 == answer.status
    assert "took nothing more of the request for 700ms" in str(answer.error["message"])
    assert ("failed", 0, 1) == await end_of(timed)


async def test_a_provider_that_is_slow_to_take_it_is_not_blamed_on_the_caller(timed: Pool) -> None:
    timed.script(a=SAYS)
    timed.upstreams["a"].full_at = MIB
    async with wire(timed.router.http_port) as caller, asyncio.TaskGroup() as tasks:
        tasks.create_task(caller.send(post_form(ROUTE, recording(sound=LONG))))
        await until(lambda: timed.upstreams["a"].taken_bytes > MIB, within_s=5)
        await asyncio.sleep(0.6)  # longer than a caller may pause
        timed.upstreams["a"].take_on()
        answer = await caller.answer()

    assert 200 == answer.status


@pytest.mark.parametrize(
    ("late", "param"),
    [
        (("stream", "true"), "stream"),
        (("model", "dearer"), "model"),
        (("api_base", "http://evil"), "api_base"),
        (("fallbacks", "[]"), "fallbacks"),
        (("file2", b"more"), "file2"),
        (("language", "en"), None),
        (("prompt", "x" * 9_000), None),
    ],
)
async def test_what_would_change_the_call_after_it_began_is_refused(
    live: Pool, late: tuple[str, str | bytes], param: str | None
) -> None:
    answer = await ask(live, recording(late))
    await live.upstreams["a"].left(0)

    assert (400, param) == (answer.status, answer.error["param"])
    assert {} == live.asked, "no provider has a request that is whole"
    assert ("failed", 0, 1) == await end_of(live)


@pytest.mark.parametrize("cut", [len(f"--{BOUNDARY}--\r\n"), len(f"--{BOUNDARY}--\r\n") + 100])
async def test_a_form_without_its_end_is_refused(live: Pool, cut: int) -> None:
    answer = await ask(live, recording()[:-cut])

    assert 400 == answer.status
    assert "no end" in str(answer.error["message"])
    assert {} == live.asked


async def test_who_may_not_call_is_told_before_the_file_comes(live: Pool) -> None:
    sent = recording()
    for key, body, status in (
        ("sk-wrong", sent, 401),
        ("sk-poor-key", sent, 429),
        (KEY, sent.replace(b"whisper", b"nobody!"), 404),
    ):
        async with wire(live.router.http_port) as caller:
            await caller.send(post_form(ROUTE, body[:1_000], key=key, length=len(body)))
            answer = await caller.answer()
        assert status == answer.status
    await live.router.idle()
    assert [0, 0] == [live.upstreams[name].taken_bytes for name in "ab"]


async def test_a_form_that_says_its_model_last_is_held_and_sent_whole(live: Pool) -> None:
    live.script(a=error(500, "broken"), b=SAYS)
    answer = await ask(live, body := form(("file", SOUND), ("model", "whisper"), ("stream", "false")))

    assert (200, {"a": 1, "b": 1}) == (answer.status, live.asked)
    assert body.replace(b"\r\nwhisper", b"\r\nup-whisper") == live.upstreams["b"].requests[0].body


async def test_the_connection_serves_the_next_call_after_an_upload(live: Pool) -> None:
    live.script(a=lambda request: SAYS if request.target == ROUTE else Reply(steps=(b"{}",)))
    async with wire(live.router.http_port) as caller:
        for _ in range(2):
            await caller.send(post_form(ROUTE, recording()))
            assert 200 == (await caller.answer()).status
        await caller.send(post())
        assert 200 == (await caller.answer()).status

    assert 1 == len({request.connection for request in live.upstreams["a"].requests})


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="where nobody tells how much memory a process has")
async def test_25_mib_cost_the_router_little_memory(tmp_path: Path) -> None:
    sound = random.Random(2).randbytes(25 * MIB)
    async with FakeUpstream(handler=lambda _: SAYS) as upstream:
        config = config_for(upstream)
        config["providers"][0]["dialects"] = ["audio"]  # type: ignore[index]
        config["models"] = [
            served_by("whisper", {"provider": "fake", "model": "up-whisper", "price": {"per_second_audio": 0.0001}})
        ]
        (tmp_path / "checkrein.yaml").write_text(yaml.safe_dump(config))
        async with served(tmp_path) as router, wire(router.http_port) as caller:
            await caller.send(post_form(ROUTE, recording(sound=sound[: 2 * MIB])))
            assert 200 == (await caller.answer()).status
            before = highest = resident_bytes(router.process.pid)
            sent = post_form(ROUTE, body := recording(sound=sound))
            for start in range(0, len(sent), MIB):
                await caller.send(sent[start : start + MIB])
                highest = max(highest, resident_bytes(router.process.pid))
            assert 200 == (await caller.answer()).status
            highest = max(highest, resident_bytes(router.process.pid))
        asked = upstream.requests[1].body

    assert hashlib.sha256(body.replace(b"\r\nwhisper", b"\r\nup-whisper")).digest() == hashlib.sha256(asked).digest()
    assert highest - before < 8 * MIB
