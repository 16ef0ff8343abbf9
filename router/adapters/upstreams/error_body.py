"""Read what a provider says went wrong, in whichever of the usual shapes, without repeating our credentials."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dispatch.failure import MESSAGE_CHARS_MAX, Failure, FailureKind
from router.domain.governance.upstream_limits import read_retry_after_ns
from router.domain.instants import NS_PER_MS

_SECRET_RUN_CHARS: Final = 8
_PLAIN_TEXT_BYTES_MAX: Final = 200
_SECRET_NAMES: Final = ("auth", "cookie", "credential", "key", "password", "secret", "token")
"""An operator's header or parameter with one of these in its name carries a credential."""
_HIDDEN: Final = "[redacted]"
_NULL: Final = b"null"


class _Said(msgspec.Struct):
    message: Raw = Raw()
    type: Raw = Raw()
    status: Raw = Raw()
    param: Raw = Raw()
    code: Raw = Raw()
    details: Raw = Raw()
    """Google says why in a list of them, Anthropic in one."""
    innererror: Raw = Raw()


class _Body(_Said):
    object: Raw = Raw()
    error: Raw = Raw()
    detail: Raw = Raw()
    response: Raw = Raw()
    """Of an event of Responses, which holds what it says of the whole."""


class _Detail(msgspec.Struct):
    """One of Google's, Anthropic's or Azure's further words: each has a member of its own."""

    reason: Raw = Raw()
    error_code: Raw = Raw()
    code: Raw = Raw()
    retryDelay: Raw = Raw()  # noqa: N815 - as it is written


_body: Final = msgspec.json.Decoder(_Body)
_bodies: Final = msgspec.json.Decoder(list[_Body])
_said: Final = msgspec.json.Decoder(_Said)
_detail: Final = msgspec.json.Decoder(_Detail)
_details: Final = msgspec.json.Decoder(list[_Detail])
_text: Final = msgspec.json.Decoder(str)


class ErrorReader:
    """Turn one provider's errors into failures. `secrets` are what we authenticate with."""

    __slots__ = ("_provider", "_secrets")

    def __init__(self, provider: str, secrets: Sequence[str]) -> None:
        self._provider = provider
        self._secrets = tuple(secret for secret in secrets if secret)

    def own(self, kind: FailureKind, words: str) -> Failure:
        """Say it in our own words; `words` continues a sentence that begins with the provider's name."""
        return Failure(kind=kind, message=f"{self._provider} {words}"[:MESSAGE_CHARS_MAX])

    def from_status(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes, wall_ns: int) -> Failure:
        said = _read(body) or _Said()
        if not (_present(said.type) or _present(said.status)):
            said.type = _type_of(headers)
        message = _as_text(said.message) or _plain(body) or f"{self._provider} answered with status {status}"
        wait_ns = read_retry_after_ns(dict(headers), wall_ns)
        wait_ms = None if wait_ns is None else -(-wait_ns // NS_PER_MS)
        return self._failure(FailureKind.STATUS, message, said, status, wait_ms)

    def from_success(self, body: bytes) -> Failure | None:
        """Read the error that a provider hid behind a success status; None when there is none."""
        said = _read(body, only_error=True)
        if said is None:
            return None
        code = _as_text(said.code) or ""
        status = int(code) if len(code) == 3 and code.isdecimal() else None
        message = _as_text(said.message) or f"{self._provider} reported an error"
        return self._failure(FailureKind.ERROR_EVENT, message, said, status, None)

    def _failure(
        self, kind: FailureKind, message: str, said: _Said, status: int | None, retry_after_ms: int | None
    ) -> Failure:
        details = _details_of(said)
        code = _as_text(said.code)
        if code is None or code.isdecimal():
            code = _first(details, "reason", "error_code", "code") or code
        if retry_after_ms is None:
            retry_after_ms = _delay_ms(_first(details, "retryDelay"))
        return Failure(
            kind=kind,
            message=self._clean(message) or f"{self._provider} reported an error",
            status=status,
            code=self._clean(code),
            type=self._clean(_as_text(said.type) or _as_text(said.status)),
            param=self._clean(_as_text(said.param)),
            retry_after_ms=retry_after_ms,
        )

    def _clean(self, text: str | None) -> str | None:
        if text is None:
            return None
        text = text[:MESSAGE_CHARS_MAX]
        for secret in self._secrets:
            text = redact(text, secret)
        return text[:MESSAGE_CHARS_MAX]


def is_secret(name: str) -> bool:
    """Tell by its name whether a header or a parameter carries a credential."""
    return any(part in name.lower() for part in _SECRET_NAMES)


def redact(text: str, secret: str) -> str:
    """Hide every run of `secret` of 8 characters or more; a shorter secret only as a whole."""
    size = min(_SECRET_RUN_CHARS, len(secret))
    kept: list[str] = []
    start = at = 0
    while at + size <= len(text):
        if text[at : at + size] not in secret:
            at += 1
            continue
        end = at + size
        while end < len(text) and text[at : end + 1] in secret:
            end += 1
        kept += (text[start:at], _HIDDEN)
        start = at = end
    return "".join(kept) + text[start:]


def _read(body: bytes, *, only_error: bool = False) -> _Said | None:
    try:
        if body.lstrip()[:1] == b"[":
            outer = (_bodies.decode(body) or [_Body()])[0]
        else:
            outer = _body.decode(body)
        if _present(outer.response):
            outer = _body.decode(outer.response)
    except (msgspec.DecodeError, RecursionError):
        return None
    if _present(outer.error):
        try:
            return _said.decode(outer.error)
        except msgspec.DecodeError:
            return _Said(message=outer.error)
    if only_error and b'"error"' not in (bytes(outer.object), bytes(outer.type)):
        return None
    if not _present(outer.message):
        outer.message = outer.detail
    return outer if _present(outer.message) else None


def _details_of(said: _Said) -> list[_Detail]:
    """Return what a provider says beside its words; empty when there is nothing that we can read."""
    raw = said.details if _present(said.details) else said.innererror
    try:
        return _details.decode(raw) if bytes(raw).startswith(b"[") else [_detail.decode(raw)]
    except (msgspec.DecodeError, RecursionError):
        return []


def _first(details: list[_Detail], *members: str) -> str | None:
    return next((text for one in details for name in members if (text := _as_text(getattr(one, name)))), None)


def _delay_ms(delay: str | None) -> int | None:
    """Read Google's `retryDelay`, such as `28.5s`."""
    if delay is None or not delay.endswith("s"):
        return None
    span_ns = read_retry_after_ns({b"retry-after": delay.removesuffix("s").encode()}, 0)
    return None if span_ns is None else -(-span_ns // NS_PER_MS)


def _type_of(headers: Sequence[tuple[bytes, bytes]]) -> Raw:
    """Return the type that Amazon writes in a header, without the address that may follow it."""
    name = dict(headers).get(b"x-amzn-errortype", b"").partition(b":")[0]
    return Raw(msgspec.json.encode(name.decode("latin-1"))) if name else Raw()


def _present(raw: Raw) -> bool:
    return bytes(raw) not in (b"", _NULL, b'""', b"{}", b"false")


def _as_text(raw: Raw) -> str | None:
    """Return a JSON string's text, and any other JSON as it is written."""
    if not _present(raw):
        return None
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        return bytes(raw).decode("utf-8", "replace")


def _plain(body: bytes) -> str | None:
    """Return a short body that is words; pages and JSON of unknown shape are not for callers."""
    text = body.strip()
    if not text or len(text) > _PLAIN_TEXT_BYTES_MAX or text[:1] in (b"<", b"{", b"["):
        return None
    return text.decode("utf-8", "replace")
