"""The last word of a provider is kept for each of its payers, from whichever reply brought it."""

import asyncio
from dataclasses import replace

import pytest

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import RouterError
from router.domain.governance.rate import NOTHING, costs_of
from router.domain.governance.upstream_limits import blocked_ns
from router.domain.ids import DeploymentId
from router.domain.stream import END_EVENT, KEEP_ALIVE, Event, EventKind
from router.pipeline.attempt import Attempt
from router.pipeline.flight import Flight
from router.pipeline.upstream_limit_book import BELIEVED_NS, STATES_MAX, Payer, UpstreamLimitBook
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import SECOND, FakeClock, FedStream, chunk, deployment
from tests.support.pipeline import Rig

LIMITED = ((b"x-ratelimit-limit-requests", b"60"), (b"x-ratelimit-remaining-requests", b"0"))
RESET = (b"x-ratelimit-reset-requests", b"60s")
ONE = costs_of(requests=1, input_tokens=0, output_tokens=0)
PING_NS = 1_000_000
REFUSED = Failure(kind=FailureKind.STATUS, status=429, message="slow down")


def attempt(name: str, *headers: tuple[bytes, bytes]) -> Attempt:
    asked = begun_attempt(at=replace(deployment(), id=DeploymentId(name)))
    asked.flight = Flight(FedStream(headers), ChatMeter(wants_usage=False))
    return asked


def wait_ns(book: UpstreamLimitBook, name: str, now: int) -> int:
    return book.wait_ns(Payer(DeploymentId(name), ""), ONE, now)


def test_a_call_waits_for_its_own_provider_only() -> None:
    clock = FakeClock()
    book, now = UpstreamLimitBook(clock), clock.monotonic
    book.learn(attempt("busy", *LIMITED, RESET))

    assert (SECOND, 0, 0) == (
        wait_ns(book, "busy", now),
        wait_ns(book, "idle", now),
        book.wait_ns(Payer(DeploymentId("busy"), "another"), ONE, now),
    )
    assert 0 == book.wait_ns(Payer(DeploymentId("busy"), ""), NOTHING, now)


def test_a_wait_that_a_refusal_asks_for_is_the_breakers_to_keep() -> None:
    clock = FakeClock()
    book = UpstreamLimitBook(clock)
    book.learn(attempt("up", (b"retry-after", b"99999999999")))

    assert 0 == wait_ns(book, "up", clock.monotonic)


def test_a_word_is_not_believed_for_ever() -> None:
    """Nobody would ask again who would hear another, where others have room."""
    clock = FakeClock()
    book, now = UpstreamLimitBook(clock), clock.monotonic
    book.learn(attempt("up", (b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"6d")))

    assert (BELIEVED_NS, 1, 0) == tuple(wait_ns(book, "up", now + ns) for ns in (0, BELIEVED_NS - 1, BELIEVED_NS))


def test_what_is_said_to_one_credential_holds_for_no_other() -> None:
    clock = FakeClock()
    book, asked = UpstreamLimitBook(clock), attempt("up", *LIMITED, RESET)
    asked.deployment = replace(asked.deployment, credential="second")
    book.learn(asked)

    assert [("up", "second")] == [tuple(payer) for payer, _ in book.states()]
    assert 0 == wait_ns(book, "up", clock.monotonic)


def test_what_is_sent_counts_until_the_provider_speaks_again() -> None:
    clock = FakeClock()
    book, payer = UpstreamLimitBook(clock), Payer(DeploymentId("up"), "")
    five = (LIMITED[0], (b"x-ratelimit-remaining-requests", b"5"), RESET)
    book.sent(payer, ONE)  # nobody knows of how many
    book.learn(attempt("up", *five))
    waits = []
    for _ in range(7):
        waits.append(wait_ns(book, "up", clock.monotonic))
        book.sent(payer, ONE)
    book.learn(attempt("up", *five))

    second = 60 * SECOND // 55
    assert [0, 0, 0, 0, 0] == waits[:5]
    assert second <= waits[5] < waits[6] <= 2 * second + 2
    assert 0 == wait_ns(book, "up", clock.monotonic)


def test_a_later_word_adds_to_what_was_known() -> None:
    clock = FakeClock()
    book = UpstreamLimitBook(clock)
    book.learn(attempt("up", *LIMITED, RESET))
    clock.pass_ns(SECOND)
    book.learn(attempt("up", (b"retry-after", b"5")))
    book.learn(attempt("up", (b"x-ratelimit-limit-requests", b"many"), (b"date", b"x")))

    ((_, state),) = book.states()
    assert (1, clock.monotonic + 5 * SECOND) == (len(state.known), state.blocked_until)


def test_who_said_nothing_is_not_in_the_book() -> None:
    book = UpstreamLimitBook(FakeClock())
    silent = attempt("up")
    silent.flight = None
    for one in (silent, attempt("up"), attempt("up", (b"content-type", b"x"))):
        book.learn(one)

    assert [] == book.states()


def test_whoever_said_nothing_for_longest_is_forgotten_first() -> None:
    book = UpstreamLimitBook(FakeClock())
    for number in (*range(STATES_MAX), 0, STATES_MAX):
        book.learn(attempt(str(number), *LIMITED))

    known = {payer.deployment for payer, _ in book.states()}
    assert STATES_MAX == len(known)
    assert ("0" in known, "1" in known, str(STATES_MAX) in known) == (True, False, True)


async def test_a_reply_is_heard_when_it_becomes_real_and_only_once() -> None:
    rig = Rig()
    stream = rig.upstream()
    stream.headers = (*LIMITED, RESET)
    stream.chunk("a")
    with rig.pipeline.open(rig.call()) as reply:
        await reply.read()
        said_at = rig.clock.monotonic
        rig.clock.pass_ns(30 * SECOND)
        stream.feed(chunk("", finish="stop"), END_EVENT)
        await reply.read()

    ((payer, state),) = rig.pipeline.upstream_limits.states()
    assert "up/model" == payer.deployment
    assert [said_at] == [known.said_at for known in state.known.values()]


async def test_a_whole_reply_is_heard() -> None:
    rig = Rig()
    stream = rig.upstream()
    stream.headers = LIMITED
    stream.feed(Event(EventKind.COMPLETE, b'{"choices":[]}'))
    with rig.pipeline.open(rig.call('{"model":"small","messages":[]}')) as reply:
        await reply.read()

    assert 1 == len(rig.pipeline.upstream_limits.states())


@pytest.mark.parametrize("late", [False, True])
async def test_a_refusal_is_heard_also_after_its_caller_was_sent_a_sign_of_life(late: bool) -> None:
    rig = Rig()
    stream = rig.upstream()

    def refuse() -> None:
        stream.headers = ((b"retry-after", b"7"),)
        stream.fail(REFUSED)

    async def serve() -> None:
        with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
            if late:
                asyncio.get_running_loop().call_later(0.001, rig.clock.pass_ns, PING_NS)
                assert [KEEP_ALIVE] == await reply.read()
            refuse()
            await reply.read()

    with pytest.raises(RouterError):
        await serve()
    ((_, heard),) = rig.pipeline.upstream_limits.states()
    assert 7 * SECOND == blocked_ns(heard, rig.clock.monotonic)


async def test_a_head_is_heard_though_its_caller_left_before_the_reply_was_real() -> None:
    rig = Rig()
    stream = rig.upstream()
    stream.headers = (*LIMITED, RESET)
    with rig.pipeline.open(rig.call(), ping_ns=PING_NS) as reply:
        asyncio.get_running_loop().call_later(0.001, rig.clock.pass_ns, PING_NS)
        await reply.read()

    assert SECOND == wait_ns(rig.pipeline.upstream_limits, "up/model", rig.clock.monotonic)
