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
_HIDDEN: Final = "[redacted]"
_NULL: Final = b"null"


class _Said(msgspec.Struct):
    message: Raw = Raw()
    type: Raw = Raw()
    status: Raw = Raw()
    param: Raw = Raw()
    code: Raw = Raw()


class _Body(msgspec.Struct):
    error: Raw = Raw()
    message: Raw = Raw()
    detail: Raw = Raw()


_body: Final = msgspec.json.Decoder(_Body)
_bodies: Final = msgspec.json.Decoder(list[_Body])
_said: Final = msgspec.json.Decoder(_Said)
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
        return Failure(
            kind=kind,
            message=self._clean(message) or f"{self._provider} reported an error",
            status=status,
            code=self._clean(_as_text(said.code)),
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
    except (msgspec.DecodeError, RecursionError):
        return None
    if _present(outer.error):
        try:
            return _said.decode(outer.error)
        except msgspec.DecodeError:
            return _Said(message=outer.error)
    if only_error:
        return None
    message = outer.message if _present(outer.message) else outer.detail
    return _Said(message=message) if _present(message) else None


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
