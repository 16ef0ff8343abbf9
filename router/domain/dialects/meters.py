"""Choose the meter for the dialect in which a provider answers."""

from typing import Final

from router.domain.dialects.chat.meter import ChatMeter, CompletionsMeter
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.messages.meter import MessagesMeter
from router.domain.dialects.meter import Meter
from router.domain.dialects.responses.meter import ResponsesMeter
from router.domain.dialects.unit_meter import UnitMeter

METERS: Final[dict[Dialect, type[Meter]]] = {
    Dialect.CHAT: ChatMeter,
    Dialect.COMPLETIONS: CompletionsMeter,
    Dialect.RESPONSES: ResponsesMeter,
    Dialect.MESSAGES: MessagesMeter,
    Dialect.EMBEDDINGS: ChatMeter,
    Dialect.IMAGES: UnitMeter,
    Dialect.AUDIO: UnitMeter,
    Dialect.MODERATIONS: UnitMeter,
    Dialect.RERANK: UnitMeter,
}
