"""The steps of `make bench` that put a chat call into Messages, and its reply back."""

from typing import Final

from router.domain.dialects.dialect import CHAT, Dialect
from router.domain.dialects.request import Request, read_request
from router.domain.dialects.translation import ReplyTranslator
from router.domain.dialects.translators import reply_translator, translate
from router.domain.stream import Event, EventKind

REPLY: Final = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"up","content":[{"type":"text","text":"'
    + b"The quick brown fox. " * 43
    + b'"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":200,"output_tokens":180}}'
)
CHUNK: Final = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":" token"}}\n\n'
)


class Translated:
    """One chat request, and the reply of a provider that speaks Messages."""

    def __init__(self, body: bytes) -> None:
        request = read_request(CHAT, body)
        assert isinstance(request, Request)
        self._request = request
        self._whole = [Event(EventKind.COMPLETE, REPLY)]
        self._chunk = [Event(EventKind.CHUNK, CHUNK)]
        self._streaming = self._translator()

    def ask(self) -> None:
        translate(self._request, Dialect.MESSAGES, drop=False, max_tokens_default=4_096, model="claude-opus-5")

    def answer(self) -> None:
        self._translator().take(self._whole)

    def stream(self) -> None:
        self._streaming.take(self._chunk)

    def _translator(self) -> ReplyTranslator:
        return reply_translator(Dialect.MESSAGES, self._request, reply_id="0" * 26, created_s=1)
