"""Choose the scripted answer for the dialect in which it is asked for.

Messages and Responses are the chat's answer, put into their dialect by the translators that other providers' replies
go through.
"""

import hashlib
from collections.abc import Iterator
from typing import Final, Protocol

from router.adapters.upstreams.script import CREATED_S, ChatAnswer
from router.adapters.upstreams.script_text import TextAnswer
from router.adapters.upstreams.script_vectors import VectorAnswer
from router.domain.catalog import Script
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.request import read_request, upstream_body
from router.domain.dialects.translation import Untranslatable
from router.domain.dialects.translators import GRAMMARS, reply_translator, translate
from router.domain.faults import Refusal
from router.domain.stream import END_EVENT, Event, EventKind

_MAX_TOKENS_UNSAID: Final = 0
"""Chat Completions asks nobody for a maximum, so none is written."""
_ID_PREFIXES: Final = {Dialect.MESSAGES: "", Dialect.RESPONSES: "resp_"}


class Answer(Protocol):
    """One reply, whole or streamed; both say and cost the same."""

    @property
    def tokens(self) -> int:
        """How many moments of its stream are paced."""
        ...

    def steps(self) -> Iterator[list[bytes]]:
        """Yield SSE events by moment: those that open the reply, those of each token, those that close it."""
        ...

    def whole(self) -> bytes: ...


def answer_to(dialect: Dialect, body: bytes, script: Script) -> Answer:
    """Raises ValueError for a body that is no request in its dialect."""
    match dialect:
        case Dialect.CHAT:
            return ChatAnswer(body, script)
        case Dialect.COMPLETIONS:
            return TextAnswer(body, script)
        case Dialect.EMBEDDINGS:
            return VectorAnswer(body)
        case Dialect.RESPONSES | Dialect.MESSAGES:
            return TranslatedAnswer(dialect, body, script)
        case _:
            raise ValueError(f"the scripted provider has no answers in {dialect}")


class TranslatedAnswer:
    """What a chat answers, in a dialect that has translations. What a chat cannot say is not heard."""

    def __init__(self, dialect: Dialect, body: bytes, script: Script) -> None:
        """Raises ValueError for a body that is no request in its dialect, or that no chat can be made of."""
        asked = read_request(GRAMMARS[dialect], body)
        if isinstance(asked, Refusal):
            raise ValueError(asked.message)
        chat = translate(asked, Dialect.CHAT, drop=True, max_tokens_default=_MAX_TOKENS_UNSAID)
        if isinstance(chat, Untranslatable):
            raise ValueError(chat.message)
        self._answer = ChatAnswer(upstream_body(chat, asked.model), script)
        digest = hashlib.blake2b(body, digest_size=12).hexdigest()
        self._translator = reply_translator(
            Dialect.CHAT, asked, reply_id=f"{_ID_PREFIXES[dialect]}{digest}", created_s=CREATED_S
        )

    @property
    def tokens(self) -> int:
        return self._answer.tokens

    def steps(self) -> Iterator[list[bytes]]:
        """Yield as the chat does. The last step ends the reply, so a stream that is cut before it has no end."""
        last = self._answer.tokens + 1
        for at, step in enumerate(self._answer.steps()):
            batch = [Event(EventKind.CHUNK, raw) for raw in step]
            said = self._translator.take([*batch, END_EVENT] if at == last else batch)
            yield [event.raw for event in said if event.kind is EventKind.CHUNK]

    def whole(self) -> bytes:
        (event,) = self._translator.take([Event(EventKind.COMPLETE, self._answer.whole())])
        return event.raw
