"""Decide how an event reaches a receiver: where to, signed with what, tried again when, and how that may end.

Signatures are those of Standard Webhooks (https://www.standardwebhooks.com), version 1.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, urlsplit

from router.domain.events import EventType
from router.domain.instants import NS_PER_S
from router.domain.secret import Secret

TRIES_MAX: Final = 8
"""Of one event at one receiver; with the waits between them, at most 635 s and what the tries take."""
FIRST_WAIT_NS: Final = 5 * NS_PER_S
"""The longest wait before the second try; it doubles from try to try."""

_ENCODED_SECRET: Final = "whsec_"
_URL: Final = re.compile(r"[!-~]+", re.ASCII)


class DeliveryOutcome(StrEnum):
    """What became of a try, or of an event that is not tried any more. A closed set: it labels a metric."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """It is tried again."""
    GONE = "gone"
    """The receiver answered 410."""
    GIVEN_UP = "given_up"
    """The last try failed."""
    OVERFLOW = "overflow"
    """Too many waited before it."""
    UNSENT = "unsent"
    """The router stopped, or the webhook was taken out of the configuration."""

    @property
    def lost(self) -> bool:
        return self not in (DeliveryOutcome.DELIVERED, DeliveryOutcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver. Its address may be a credential in itself, so it is shown as little as its secret."""

    url: Secret
    secret: Secret | None = None
    events: frozenset[EventType] = frozenset(EventType)


def split_url(url: str) -> SplitResult:
    """Split the address of a receiver. Raises ValueError, which never quotes it."""
    if not _URL.fullmatch(url):
        raise ValueError("is empty or has characters that an address has not")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - looking at it is what raises
    except ValueError:
        raise ValueError("is not an address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an address of http or https")
    if parts.username is not None:
        raise ValueError("holds a user's name, which is not sent")
    return parts


def signing_key(secret: str) -> bytes:
    """Return the bytes that sign: decoded after `whsec_`, else the text itself. Raises ValueError."""
    try:
        coded = secret.startswith(_ENCODED_SECRET)
        key = base64.b64decode(secret.removeprefix(_ENCODED_SECRET), validate=True) if coded else secret.encode()
    except (binascii.Error, ValueError):
        raise ValueError("is not base64 after whsec_") from None
    if not key:
        raise ValueError("is empty")
    return key


def signature(key: bytes, event_id: str, timestamp_s: int, body: bytes) -> str:
    """Sign one try: its moment is signed too, so that nobody can send it again later."""
    digest = hmac.digest(key, b"%b.%d.%b" % (event_id.encode(), timestamp_s, body), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def wait_ns(tries: int, draw: float) -> int | None:
    """Return how long to wait after so many tries, by a draw from [0, 1); None: it was the last."""
    if tries >= TRIES_MAX:
        return None
    return int(draw * (FIRST_WAIT_NS << (tries - 1)))
