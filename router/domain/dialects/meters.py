"""Choose the meter for the dialect in which a provider answers."""

from typing import Final

from router.domain.dialects.chat.meter import ChatMeter, CompletionsMeter
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.messages.meter import MessagesMeter
from router.domain.dialects.meter import Meter
from router.domain.dialects.responses.meter import ResponsesMeter

METERS: Final[dict[Dialect, type[Meter]]] = {
    Dialect.CHAT: ChatMeter,
    Dialect.COMPLETIONS: CompletionsMeter,
    Dialect.RESPONSES: ResponsesMeter,
    Dialect.MESSAGES: MessagesMeter,
    Dialect.EMBEDDINGS: ChatMeter,
}
