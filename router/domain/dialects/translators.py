"""Put a request into the dialect that a provider speaks, and its reply back into the caller's.

Chat Completions stands between any two others: between Messages and Responses there are two steps.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.dialect import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Dialect
from router.domain.dialects.messages import request as messages_request
from router.domain.dialects.messages.reply_from_chat import ChatToMessages
from router.domain.dialects.messages.reply_to_chat import MessagesToChat
from router.domain.dialects.request import Request
from router.domain.dialects.responses import request as responses_request
from router.domain.dialects.responses.reply_from_chat import ChatToResponses
from router.domain.dialects.responses.reply_to_chat import ResponsesToChat
from router.domain.dialects.translation import ReplyTranslator, Translated, Untranslatable
from router.domain.stream import Event
from router.domain.usage import estimate_tokens

GRAMMARS: Final = {grammar.dialect: grammar for grammar in (CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS)}


def translate(
    request: Request, to: Dialect, *, drop: bool, max_tokens_default: int, model: str = "", extended: bool = False
) -> Request | Untranslatable:
    """Put a request into another dialect: one that `spoken_for` names.

    `max_tokens_default` is written for callers that name no maximum, where the dialect wants one of everybody.
    `model` is the provider's name for who is asked. `extended`: what litellm added to Chat Completions is known there.
    """
    grammar, fields, dropped = GRAMMARS[to], request.fields, request.dropped
    chat = request.grammar.dialect is Dialect.CHAT
    if not chat:
        translated = _to_chat(request.grammar.dialect, fields, drop=drop, extended=extended and to is Dialect.CHAT)
        if isinstance(translated, Untranslatable):
            return translated
        fields, dropped = translated.fields, (*dropped, *translated.dropped)
    ours = grammar.needs_max_tokens and not any(name in fields for name in CHAT.max_tokens)
    if to is not Dialect.CHAT:
        translated = _from_chat(to, fields, drop=drop, max_tokens_default=max_tokens_default, model=model)
        if isinstance(translated, Untranslatable):
            return translated
        fields, dropped = translated.fields, (*dropped, *translated.dropped)
    return msgspec.structs.replace(
        request, grammar=grammar, fields=fields, wants_usage=False, dropped=dropped, limit_is_ours=ours
    )


def _to_chat(asked: Dialect, fields: Mapping[str, Raw], *, drop: bool, extended: bool) -> Translated | Untranslatable:
    if asked is Dialect.MESSAGES:
        return messages_request.to_chat(fields, drop=drop, extended=extended)
    assert asked is Dialect.RESPONSES, "others are not translated"
    return responses_request.to_chat(fields, drop=drop)


def _from_chat(
    to: Dialect, fields: Mapping[str, Raw], *, drop: bool, max_tokens_default: int, model: str
) -> Translated | Untranslatable:
    if to is Dialect.MESSAGES:
        return messages_request.from_chat(fields, drop=drop, max_tokens_default=max_tokens_default, model=model)
    assert to is Dialect.RESPONSES, "others are not translated"
    return responses_request.from_chat(fields, drop=drop)


class _Chain:
    """Two translations, one after the other."""

    __slots__ = ("_first", "_second")

    def __init__(self, first: ReplyTranslator, second: ReplyTranslator) -> None:
        self._first = first
        self._second = second

    def take(self, batch: Sequence[Event]) -> list[Event]:
        return self._second.take(self._first.take(batch))


def reply_translator(
    spoken: Dialect, asked: Request, *, reply_id: str, created_s: int, keeps_finish: bool = False
) -> ReplyTranslator:
    """Make what turns a reply in the dialect `spoken` into one to the request as it was `asked`.

    `reply_id`: the call's own, of which ids are made that the provider does not give. `created_s`: Unix seconds.
    `keeps_finish`: an ordinary end stays one, also after tool calls.
    """
    steps: list[ReplyTranslator] = []
    to = asked.grammar.dialect
    wants_usage = asked.wants_usage or to is not Dialect.CHAT
    if spoken is Dialect.MESSAGES:
        steps.append(
            MessagesToChat(reply_id=reply_id, created_s=created_s, wants_usage=wants_usage, keeps_finish=keeps_finish)
        )
    elif spoken is Dialect.RESPONSES:
        steps.append(ResponsesToChat(reply_id=reply_id, created_s=created_s, wants_usage=wants_usage))
    if to is Dialect.MESSAGES:
        estimate = estimate_tokens(asked.size)
        steps.append(
            ChatToMessages(
                reply_id=reply_id, model=asked.model, input_tokens_estimate=estimate, keeps_finish=keeps_finish
            )
        )
    elif to is Dialect.RESPONSES:
        steps.append(ChatToResponses(reply_id=reply_id, created_s=created_s, request=asked.fields))
    return steps[0] if len(steps) == 1 else _Chain(*steps)
