"""Put a request into the dialect that a provider speaks, and its reply back into the caller's.

Chat Completions stands between any two others: between Messages and Responses there are two steps.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Raw

from router.domain.dialects.dialect import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Dialect
from router.domain.dialects.request import Request
from router.domain.dialects.translation import ReplyTranslator, Translated, Untranslatable
from router.domain.stream import Event

GRAMMARS: Final = {grammar.dialect: grammar for grammar in (CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS)}


class _Step(Protocol):
    def __call__(self, fields: Mapping[str, Raw], *, drop: bool) -> Translated | Untranslatable: ...


_FROM_CHAT: Final[dict[Dialect, _Step]] = {}
_TO_CHAT: Final[dict[Dialect, _Step]] = {}


def translate(request: Request, to: Dialect, *, drop: bool) -> Request | Untranslatable:
    """Put a request into another dialect: one of those for which `spoken_for` names it."""
    fields: Mapping[str, Raw] = request.fields
    dropped: list[str] = []
    for step in _steps(request.grammar.dialect, to):
        translated = step(fields, drop=drop)
        if isinstance(translated, Untranslatable):
            return translated
        fields = translated.fields
        dropped += translated.dropped
    return msgspec.structs.replace(
        request, grammar=GRAMMARS[to], fields=dict(fields), wants_usage=False, dropped=tuple(dropped)
    )


def _steps(asked: Dialect, to: Dialect) -> list[_Step]:
    steps = [] if asked is Dialect.CHAT else [_TO_CHAT[asked]]
    return steps if to is Dialect.CHAT else [*steps, _FROM_CHAT[to]]


class _Chain:
    """Two translations, one after the other."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: ReplyTranslator, second: ReplyTranslator) -> None:
        self._first = first
        self._second = second

    def take(self, batch: Sequence[Event]) -> list[Event]:
        return self._second.take(self._first.take(batch))


def reply_translator(spoken: Dialect, asked: Request, *, reply_id: str, created_s: int) -> ReplyTranslator:
    """Make what turns a reply in the dialect `spoken` into one to the request as it was `asked`.

    `reply_id`: the call's own, of which ids are made that the provider does not give. `created_s`: Unix seconds.
    """
    raise NotImplementedError
