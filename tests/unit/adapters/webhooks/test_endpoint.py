"""Every event of a receiver ends once, as delivered or as lost, whatever the receiver does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from router.adapters.webhooks import endpoint as module
from router.adapters.webhooks.endpoint import Endpoint
from router.domain.dispatch.failure import FailureKind
from router.domain.secret import Secret
from router.domain.webhook import TRIES_MAX, DeliveryOutcome, Webhook, signature
from router.ports.telemetry import Anomaly
from router.ports.transport import TransportFailed
from tests.support.fakes import SECOND, FakeClock, FakeDraw, RecordingTelemetry
from tests.support.receivers import REFUSED, FedTransport, event
from tests.support.waiting import turns

URL = "https://receiver.test:8443/hunter2?token=hunter3"
BODY = b'{"id":"evt_1"}'
FAILED, DELIVERED = DeliveryOutcome.FAILED, DeliveryOutcome.DELIVERED


class AtOnce(FakeDraw):
    """Draws no wait at all."""

    def uniform(self) -> float:
        return 0.0


class Post:
    """One endpoint, and everything around it that a test looks at."""

    def __init__(self, transport: FedTransport, *, secret: str | None = None, draw: FakeDraw | None = None) -> None:
        self.transport = transport
        self.telemetry = RecordingTelemetry()
        self.clock = FakeClock()
        self.endpoint = Endpoint(
            Webhook(url=Secret(URL), secret=None if secret is None else Secret(secret)),
            transport,
            clock=self.clock,
            draw=draw or AtOnce(),
            telemetry=self.telemetry,
        )

    def put(self, *numbers: int) -> None:
        for number in numbers or (1,):
            self.endpoint.put(event(number), BODY)

    @property
    def lost(self) -> int:
        return sum(count for kind, count in self.telemetry.anomalies if kind is Anomaly.WEBHOOK_DROPPED)


@asynccontextmanager
async def running(post: Post) -> AsyncIterator[Post]:
    async with asyncio.TaskGroup() as tasks:
        post.endpoint.start(tasks)
        try:
            yield post
        finally:
            await post.endpoint.close()


async def test_an_event_is_posted_to_its_address_as_it_is() -> None:
    async with running(Post(FedTransport())) as post:
        post.put()
        await turns(5)

    (request,) = post.transport.requests
    assert (b"/hunter2?token=hunter3", BODY) == (request.target, request.body)
    assert "receiver.test:8443" == post.transport.header(0, "host")
    assert "application/json" == post.transport.header(0, "content-type")
    assert post.transport.header(0, "webhook-signature") is None
    assert [DELIVERED] == post.telemetry.webhooks
    assert 0 == post.lost
    assert post.transport.closed


async def test_each_try_is_signed_with_its_own_moment_and_keeps_the_id() -> None:
    async with running(Post(FedTransport(500), secret="plain", draw=FakeDraw())) as post:
        post.put()
        await turns(5)
        post.clock.pass_ns(7 * SECOND)

    times = ["1800000000", "1800000007"]
    assert times == [post.transport.header(number, "webhook-timestamp") for number in range(2)]
    assert ["evt_1", "evt_1"] == post.transport.ids
    assert [signature(b"plain", "evt_1", int(at), BODY) for at in times] == [
        post.transport.header(number, "webhook-signature") for number in range(2)
    ]


@pytest.mark.parametrize(
    "answer", [500, 429, 404, 302, 199, REFUSED, TransportFailed(FailureKind.CUT, "closed the connection")]
)
async def test_whatever_is_no_2xx_is_tried_again(answer: int | TransportFailed) -> None:
    async with running(Post(FedTransport(answer, answer, 200))) as post:
        post.put()
        await turns(10)

        assert [FAILED, FAILED, DELIVERED] == post.telemetry.webhooks
    assert 0 == post.lost
    assert all(reply.aborted for reply in post.transport.replies), "no body is waited for"


async def test_a_receiver_that_says_410_is_asked_no_more_for_this_event() -> None:
    async with running(Post(FedTransport(410))) as post:
        post.put(1, 2)
        await turns(10)

    assert ["evt_1", "evt_2"] == post.transport.ids
    assert [DeliveryOutcome.GONE, DELIVERED] == post.telemetry.webhooks
    assert 1 == post.lost


async def test_tries_end(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Post(FedTransport(*[500] * TRIES_MAX))) as post:
        post.put()
        await turns(50)

        assert [FAILED] * (TRIES_MAX - 1) + [DeliveryOutcome.GIVEN_UP] == post.telemetry.webhooks
    assert TRIES_MAX == len(post.transport.requests)
    assert 1 == post.lost
    assert "webhook receiver.test: event evt_1 is lost (given_up): answered 500" in caplog.text


async def test_a_receiver_that_does_not_answer_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_NS_MAX", SECOND // 1_000)
    async with running(Post(FedTransport(asyncio.Event()))) as post:
        post.put()
        async with asyncio.timeout(5):
            while DELIVERED not in post.telemetry.webhooks:
                await turns()

    assert [FAILED, DELIVERED] == post.telemetry.webhooks
    assert post.transport.replies[0].aborted


async def test_an_event_that_waits_for_its_next_try_does_not_hold_up_others() -> None:
    async with running(Post(FedTransport(500), draw=FakeDraw())) as post:
        post.put(1)
        await turns(5)
        post.put(2, 3)
        await turns(10)

        assert ["evt_1", "evt_2", "evt_3"] == post.transport.ids
    assert ["evt_1", "evt_2", "evt_3", "evt_1"] == post.transport.ids


async def test_a_full_queue_loses_what_comes_and_counts_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "QUEUE_EVENTS_MAX", 2)
    async with running(Post(FedTransport())) as post:
        post.put(1, 2, 3, 4)
        assert [DeliveryOutcome.OVERFLOW] * 2 == post.telemetry.webhooks
        await turns(10)
        assert 1 == caplog.text.count("2 events wait, what comes now is lost"), "one line for all of them"
        post.put(5, 6, 7)
        await turns(10)

    assert ["evt_1", "evt_2", "evt_5", "evt_6"] == post.transport.ids
    assert 3 == post.lost
    assert 2 == caplog.text.count("2 events wait, what comes now is lost"), "one more for the next time"


async def test_a_stop_tries_once_more_and_then_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Post(FedTransport(500, 500, 500), draw=FakeDraw())) as post:
        post.put(1, 2)
        await turns(10)

    assert ["evt_1", "evt_2", "evt_1", "evt_2"] == post.transport.ids
    assert [FAILED, FAILED, DeliveryOutcome.UNSENT, DELIVERED] == post.telemetry.webhooks
    assert 1 == post.lost
    assert "event evt_1 is lost (unsent): answered 500" in caplog.text


async def test_a_stop_does_not_wait_for_a_receiver_that_hangs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSE_NS_MAX", SECOND // 1_000)
    async with running(Post(FedTransport(asyncio.Event()))) as post:
        post.put(1, 2, 3)
        await turns(5)

    assert ["evt_1"] == post.transport.ids
    assert [DeliveryOutcome.UNSENT] * 3 == post.telemetry.webhooks
    assert 3 == post.lost
    assert "webhook receiver.test: 3 events are lost" in caplog.text


async def test_an_event_after_the_stop_is_lost_and_counted() -> None:
    async with running(Post(FedTransport())) as post:
        pass
    post.put()

    assert [DeliveryOutcome.UNSENT] == post.telemetry.webhooks
    assert 1 == post.lost


async def test_an_endpoint_that_never_started_can_be_closed() -> None:
    post = Post(FedTransport())
    post.put()
    await post.endpoint.close()

    assert 1 == post.lost
    assert post.transport.closed


async def test_a_stop_that_is_cancelled_counts_all_the_same() -> None:
    post = Post(FedTransport(asyncio.Event()))
    async with asyncio.TaskGroup() as tasks:
        post.endpoint.start(tasks)
        post.put(1, 2)
        await turns(5)
        closing = tasks.create_task(post.endpoint.close())
        await turns()
        closing.cancel()

    assert 2 == post.lost


async def test_trouble_is_said_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running(Post(FedTransport(500, REFUSED, 500), secret="hunter4")) as post:
        post.put()
        await turns(20)

    assert 1 == caplog.text.count("answered 500; events are tried again")
    assert 1 == caplog.text.count("webhook receiver.test: receives again")
    assert "hunter" not in caplog.text


@pytest.mark.parametrize(("answer", "trouble"), [(204, None), (410, "answered 410"), (REFUSED, str(REFUSED))])
async def test_one_try_past_the_queue_says_what_was_wrong(answer: int | TransportFailed, trouble: str | None) -> None:
    post = Post(FedTransport(answer), secret="plain")

    assert trouble == await post.endpoint.try_once(event(), BODY)
    assert ["evt_1"] == post.transport.ids
    assert [] == post.telemetry.webhooks


@pytest.mark.parametrize(("url", "secret"), [("ftp://h", "s"), ("http://h", "whsec_%")])
def test_what_cannot_be_used_is_an_error_at_once(url: str, secret: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        Endpoint(
            Webhook(url=Secret(url), secret=Secret(secret)),
            FedTransport(),
            clock=FakeClock(),
            draw=FakeDraw(),
            telemetry=RecordingTelemetry(),
        )
