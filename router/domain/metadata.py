"""Read what a caller says about a call beside its body, from HTTP headers or gRPC metadata alike.

`x-checkrein-*` are the names; other gateways' spellings of the same idea are accepted after them, in the order
of `SPELLINGS`.
"""

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec

from router.domain.faults import Fault, Refusal
from router.domain.instants import NS_PER_S
from router.domain.settlement import Labels

LABEL_CHARS_MAX: Final = 128
_TIMEOUT_S_MAX: Final = 86_400
_COUNT_DIGITS_MAX: Final = 4

SPELLINGS: Final = {
    "workflow": (
        b"x-checkrein-workflow",
        b"x-session-id",
        b"x-litellm-trace-id",
        b"x-litellm-session-id",
        b"x-bf-session-id",
        b"x-opencode-session",
        b"x-amp-thread-id",
        b"session_id",
    ),
    "parent-call": (b"x-checkrein-parent-call",),
    "agent": (b"x-checkrein-agent", b"x-litellm-agent-id"),
    "tags": (b"x-checkrein-tags", b"x-litellm-tags"),
    "user": (b"x-checkrein-user", b"x-litellm-customer-id", b"x-litellm-end-user-id", b"x-openwebui-user-id"),
    "priority": (b"x-checkrein-priority",),
    "timeout": (b"x-checkrein-timeout", b"x-litellm-timeout", b"x-request-timeout"),
    "retries": (b"x-stainless-retry-count",),
    "request-id": (b"x-request-id",),
    "traceparent": (b"traceparent",),
    "credential": (b"authorization", b"x-api-key", b"api-key"),
    "forwarded": (b"forwarded", b"x-forwarded-for"),
}
"""What we read, under which names, best first. Durations are seconds, as litellm's clients send them."""

_WHERE: Final = {name: (idea, rank) for idea, names in SPELLINGS.items() for rank, name in enumerate(names)}
_BEARER: Final = "bearer "
_USUAL: Final = {"credential"}
"""What a plain SDK says; it goes the short way."""
_NO_LABELS: Final = Labels()


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    request_id: str | None = None
    """The caller's own, when it is usable."""
    credential: str | None = None
    traceparent: str | None = None
    labels: Labels
    user: str | None = None
    """For whom the caller says that it calls."""
    priority: str | None = None
    """The class that it names."""
    timeout_ns: int | None = None
    retries: int = 0
    """How often the caller's SDK has sent this request before."""
    forwarded: bool = False
    """A proxy stands between the caller and us, so the peer's address says nothing about the caller."""


def read_metadata(pairs: Iterable[tuple[bytes, bytes]]) -> Metadata | Refusal:
    """Pick our names out of `pairs` (names in lower case). A label we could not keep whole is refused."""
    found: dict[str, tuple[int, bytes]] = {}
    for name, value in pairs:
        where = _WHERE.get(name)
        if where is None or (where[0] == "retries" and value == b"0"):  # as every first try of an SDK says
            continue
        if where[0] not in found or where[1] < found[where[0]][0]:
            found[where[0]] = (where[1], value)
    if found.keys() == _USUAL:
        return Metadata(credential=_credential(found["credential"][1].decode("latin-1").strip()), labels=_NO_LABELS)
    texts = {idea: value.decode("latin-1").strip() for idea, (_, value) in found.items()}
    for idea in ("workflow", "parent-call", "agent", "tags", "user", "priority"):
        if idea in texts and not _keepable(texts[idea]):
            return _invalid(idea, f"must be 1 to {LABEL_CHARS_MAX} printable ASCII characters")
    timeout_ns = None
    if "timeout" in texts:
        timeout_ns = _seconds_ns(texts["timeout"])
        if timeout_ns is None:
            return _invalid("timeout", f"must be seconds, more than 0 and at most {_TIMEOUT_S_MAX}")
    request_id = texts.get("request-id", "")
    return Metadata(
        request_id=request_id if _keepable(request_id) else None,
        credential=_credential(texts.get("credential")),
        traceparent=texts.get("traceparent"),
        labels=Labels(
            workflow_id=texts.get("workflow"),
            parent_call_id=texts.get("parent-call"),
            agent=texts.get("agent"),
            tags=texts.get("tags"),
        ),
        user=texts.get("user"),
        priority=texts.get("priority"),
        timeout_ns=timeout_ns,
        retries=_count(texts.get("retries", "")),
        forwarded="forwarded" in texts,
    )


def _credential(text: str | None) -> str | None:
    """Take the token out of `Bearer TOKEN`; other headers carry it bare."""
    if text is not None and text[: len(_BEARER)].lower() == _BEARER:
        return text[len(_BEARER) :].strip()
    return text


def _keepable(text: str) -> bool:
    return 0 < len(text) <= LABEL_CHARS_MAX and text.isascii() and text.isprintable()


def _count(text: str) -> int:
    """Read a small number; anything else says nothing."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _COUNT_DIGITS_MAX else 0


def _seconds_ns(text: str) -> int | None:
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        return None
    if not seconds.is_finite() or not 0 < seconds <= _TIMEOUT_S_MAX:
        return None
    return int(seconds * NS_PER_S)


def _invalid(idea: str, rule: str) -> Refusal:
    name = SPELLINGS[idea][0].decode()
    return Refusal(fault=Fault.INVALID_REQUEST, message=f"Header `{name}` {rule}.", param=name)
