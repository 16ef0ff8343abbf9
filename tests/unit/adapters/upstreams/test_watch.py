"""The limits of one reply, each fired once and for the right reason."""

import asyncio

import pytest

from router.adapters.upstreams.watch import Watch, Watches, timeout_words
from router.domain.catalog import Timeouts
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import ReplyMode

MS = 1_000_000
LONG = 60_000 * MS


class Expiry:
    def __init__(
        self,
        *,
        mode: ReplyMode = ReplyMode.STREAM,
        first_ns: int = LONG,
        idle_ns: int = LONG,
        total_ns: int = LONG,
        watches: Watches | None = None,
    ) -> None:
        self.seen: list[tuple[FailureKind, int]] = []
        self.event = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        timeouts = Timeouts(connect_ns=LONG, stream_first_event_ns=first_ns, stream_idle_ns=idle_ns, total_ns=LONG)
        self.watches = watches or Watches(timeouts)
        self.watch = Watch(self.watches, started_s=self.loop.time(), mode=mode, total_ns=total_ns, expired=self.expire)
        self.watch.waiting = True

    def expire(self, kind: FailureKind, span_ns: int) -> None:
        self.watch.stop()
        self.seen.append((kind, span_ns))
        self.event.set()

    async def next(self) -> tuple[FailureKind, int]:
        async with asyncio.timeout(2):
            await self.event.wait()
        return self.seen[-1]


async def test_silence_before_the_first_event_has_its_own_limit() -> None:
    assert (FailureKind.FIRST_EVENT_TIMEOUT, 10 * MS) == await Expiry(first_ns=10 * MS, idle_ns=5 * MS).next()


async def test_a_unary_reply_knows_only_its_total() -> None:
    expiry = Expiry(mode=ReplyMode.UNARY, first_ns=MS, idle_ns=MS, total_ns=20 * MS)

    assert (FailureKind.TOTAL_TIMEOUT, 20 * MS) == await expiry.next()


async def test_an_idle_limit_shorter_than_the_first_one_counts_from_the_first_event() -> None:
    expiry = Expiry(idle_ns=10 * MS)
    expiry.watch.progressed()

    assert (FailureKind.IDLE_TIMEOUT, 10 * MS) == await expiry.next()


async def test_the_total_counts_however_busy_the_stream_is() -> None:
    expiry = Expiry(idle_ns=50 * MS, total_ns=30 * MS)
    expiry.watch.progressed()

    assert (FailureKind.TOTAL_TIMEOUT, 30 * MS) == await expiry.next()


async def test_the_total_counts_also_while_nobody_reads() -> None:
    expiry = Expiry(total_ns=10 * MS)
    expiry.watch.waiting = False

    assert (FailureKind.TOTAL_TIMEOUT, 10 * MS) == await expiry.next()


async def test_an_event_moves_the_idle_limit() -> None:
    expiry = Expiry(idle_ns=40 * MS)
    started = expiry.loop.time()
    expiry.watch.progressed()
    expiry.loop.call_later(0.02, expiry.watch.progressed)

    await expiry.next()
    assert expiry.loop.time() - started >= 0.058


async def test_silence_is_not_counted_while_nobody_waits() -> None:
    expiry = Expiry(first_ns=10 * MS, total_ns=60 * MS)
    expiry.watch.waiting = False

    assert (FailureKind.TOTAL_TIMEOUT, 60 * MS) == await expiry.next()


async def test_replies_of_one_provider_expire_each_at_its_own_time() -> None:
    slow = Expiry(total_ns=30 * MS)
    others = [Expiry(total_ns=span * MS, watches=slow.watches) for span in (20, 10, 40)]

    assert (FailureKind.TOTAL_TIMEOUT, 10 * MS) == await others[1].next()
    assert [[], []] == [slow.seen, others[2].seen]
    for expiry, span in ((others[0], 20), (slow, 30), (others[2], 40)):
        assert (FailureKind.TOTAL_TIMEOUT, span * MS) == await expiry.next()


async def test_a_stopped_watch_says_nothing() -> None:
    expiry = Expiry(first_ns=5 * MS)
    expiry.watch.stop()
    passed = asyncio.Event()
    expiry.loop.call_later(0.02, passed.set)
    await passed.wait()

    assert [] == expiry.seen


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (FailureKind.FIRST_EVENT_TIMEOUT, "did not begin its answer within 2m"),
        (FailureKind.IDLE_TIMEOUT, "sent nothing more for 2m"),
        (FailureKind.TOTAL_TIMEOUT, "did not finish its answer within 2m"),
    ],
)
def test_each_limit_has_its_words(kind: FailureKind, words: str) -> None:
    assert words == timeout_words(kind, 120_000 * MS)
