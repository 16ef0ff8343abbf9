"""Where an event is sent, what signs it, and how long it is tried."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from router.domain.events import EventType
from router.domain.secret import Secret
from router.domain.webhook import (
    TRIES_MAX,
    DeliveryOutcome,
    Webhook,
    signature,
    signing_key,
    split_url,
    wait_ns,
)
from tests.support.fakes import SECOND


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """The example that the standard's libraries are tested with."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'

    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signature(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body
    )


def test_the_page_shows_code_that_checks_a_signature() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    now, key, body = 1_800_000_000, b"key", b"{}"
    shown: dict[str, Callable[..., bool] | SimpleNamespace] = {}
    exec(code, shown)
    shown["time"] = SimpleNamespace(time=lambda: now + 0.5)

    def verify(sent: int, signed: str) -> bool:
        headers = {"webhook-id": "evt_1", "webhook-timestamp": str(sent), "webhook-signature": signed}
        check = shown["verify"]
        assert callable(check)
        return check(key, headers, body)

    assert verify(now, signature(key, "evt_1", now, body))
    assert verify(now, f"v1,other {signature(key, 'evt_1', now, body)}")
    assert not verify(now, signature(b"other", "evt_1", now, body))
    assert not verify(now, signature(key, "evt_1", now, b"{ }"))
    assert not verify(now - 301, signature(key, "evt_1", now - 301, body))


@pytest.mark.parametrize(("secret", "key"), [("whsec_YWI=", b"ab"), ("ab", b"ab"), ("wörd", "wörd".encode())])
def test_a_secret_is_coded_or_plain(secret: str, key: bytes) -> None:
    assert key == signing_key(secret)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "whsec_YWI", "whsec_ä"])
def test_a_secret_that_cannot_sign_is_an_error(secret: str) -> None:
    with pytest.raises(ValueError, match=r"^is "):
        signing_key(secret)


@pytest.mark.parametrize("url", ["http://h", "https://h:8443/a?b=c", "http://[::1]:80/", "https://h/a%20b"])
def test_an_address_is_a_host_and_what_follows(url: str) -> None:
    assert url == split_url(url).geturl()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/hunter2",
        "ftp://h/hunter2",
        "https:///hunter2",
        "https://h:x/hunter2",
        "https://h:99999/hunter2",
        "https://h/hunter2\r\nx: y",
        "https://h/hunter2 x",
        "https://h/hunter2/ä",
        "https://me:hunter2@h/",
        "https://[::1/hunter2",
    ],
)
def test_an_address_that_cannot_be_used_is_an_error_that_does_not_quote_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|holds) ") as caught:
        split_url(url)

    assert "hunter2" not in str(caught.value)


def test_waits_double_and_end() -> None:
    longest = [wait_ns(tries, 1.0) for tries in range(1, TRIES_MAX)]

    assert [5 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND, 80 * SECOND, 160 * SECOND, 320 * SECOND] == longest
    assert wait_ns(TRIES_MAX, 0.5) is None


def test_a_wait_is_drawn_from_nothing_to_the_longest() -> None:
    assert [0, SECOND, 5 * SECOND] == [wait_ns(2, draw) for draw in (0.0, 0.1, 0.5)]


def test_only_what_arrived_or_is_tried_again_is_not_lost() -> None:
    assert {DeliveryOutcome.DELIVERED, DeliveryOutcome.FAILED} == {one for one in DeliveryOutcome if not one.lost}


def test_a_webhook_shows_neither_address_nor_secret_and_wants_everything() -> None:
    webhook = Webhook(url=Secret("https://h/hunter2"), secret=Secret("hunter2"))

    assert "hunter2" not in repr(webhook)
    assert set(EventType) == webhook.events
