"""Remember which provider signed which thoughts, so that each is given its own again and nobody another's.

It is learned from replies alone: what a caller sends says nothing about who wrote it. Only digests are kept.
"""

import re
from collections import Counter, OrderedDict
from typing import Final

import msgspec

from router.domain.dialects.raw_json import UNREADABLE
from router.domain.ids import ProviderId

SIGNATURES_MAX: Final = 65_536
"""Remembered by a process: 9 MB at most. The one that was silent for longest goes first."""
SIGNATURE_CHARS_MIN: Final = 16
"""Anything shorter is no signature, and two providers may say the same."""

_REDACTED: Final = b"redacted_thinking"
_PROOFS: Final = (b'signature"', b'encrypted_content"')
"""Ends of members' names: `signature`, `thought_signature`, `encrypted_content`."""
_HIDDEN: Final = b'data"'
"""The proof of a redacted thought, and of an encrypted one as OpenRouter writes it."""
_MARKS: Final = (b'signature"', b"encrypted", _REDACTED)
_VALUE: Final = re.compile(rb'\s*+:\s*+"((?:[^"\\]|\\.)*+)"')
_text: Final = msgspec.json.Decoder(str)


class Authors:
    """Whose the signatures are that were seen of late."""

    __slots__ = ("_by", "_count", "_max")

    def __init__(self, signatures_max: int = SIGNATURES_MAX) -> None:
        self._max = signatures_max
        self._by: OrderedDict[int, ProviderId] = OrderedDict()
        self._count: Counter[ProviderId] = Counter()

    def __len__(self) -> int:
        return len(self._by)

    def learn(self, text: bytes, provider: ProviderId) -> None:
        """Remember what a provider signs in a reply, or in an event of one."""
        if is_signed(text):
            for digest in _signatures_in(text):
                self._remember(digest, provider)

    def others_than(self, provider: ProviderId) -> bool:
        """Tell whether anything is known that another provider signed."""
        return len(self._by) > self._count[provider]

    def wrote(self, provider: ProviderId, text: bytes) -> bool | None:
        """Tell whether all in a message whose author is known is this provider's; None if no author is."""
        found = [(digest, by) for digest in _signatures_in(text) if (by := self._by.get(digest)) is not None]
        for digest, _ in found:
            self._by.move_to_end(digest)
        return all(by == provider for _, by in found) if found else None

    def _remember(self, digest: int, provider: ProviderId) -> None:
        before = self._by.pop(digest, None)
        if before is None and len(self._by) >= self._max:
            before = self._by.popitem(last=False)[1]
        if before is not None:
            self._count[before] -= 1
            if not self._count[before]:
                del self._count[before]
        self._by[digest] = provider
        self._count[provider] += 1


def is_signed(text: bytes) -> bool:
    """Tell whether a JSON text may hold signatures. Never wrong where it says no."""
    return any(mark in text for mark in _MARKS)


def _signatures_in(text: bytes) -> list[int]:
    """Return the digests of the signatures in a JSON text: 64 bits each, of this process alone.

    Names are looked for among the bytes: within a string their quotes are escaped, so that none begins or ends there.
    """
    found: list[int] = []
    hidden = _REDACTED in text or b"reasoning.encrypted" in text
    for name in (*_PROOFS, _HIDDEN) if hidden else _PROOFS:
        at = text.find(name)
        while at >= 0:
            at += len(name)
            value = _VALUE.match(text, at)
            if value is not None and len(value[1]) >= SIGNATURE_CHARS_MIN:
                found.append(_digest(value[1]))
            at = text.find(name, at)
    return found


def _digest(value: bytes) -> int:
    if b"\\" in value:  # who sends it back may write it with other escapes
        try:
            return hash(_text.decode(b'"%b"' % value).encode("utf-8", "surrogatepass"))
        except UNREADABLE:
            pass
    return hash(value)
