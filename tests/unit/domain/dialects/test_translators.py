"""Between any two dialects there is a way, and what is said on it arrives."""

import json
from itertools import product

import pytest

from router.domain.dialects.dialect import CHAT, MESSAGES, RESPONSES, Dialect, Grammar
from router.domain.dialects.request import Request, read_request
from router.domain.dialects.translation import Untranslatable
from router.domain.dialects.translators import reply_translator, translate
from router.domain.stream import END_EVENT, Event, EventKind
from tests.support.dialects import message, message_events, response, response_events
from tests.support.fakes import chunk, usage_chunk

GRAMMARS = (CHAT, RESPONSES, MESSAGES)
ASKED = {
    Dialect.CHAT: {"messages": [{"role": "user", "content": "Say hello."}]},
    Dialect.RESPONSES: {"input": "Say hello."},
    Dialect.MESSAGES: {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 64},
}
TEXT = "one two three"
WHOLE = {
    Dialect.CHAT: {
        "id": "1",
        "object": "chat.completion",
        "model": "up",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 3},
    },
    Dialect.RESPONSES: response(TEXT),
    Dialect.MESSAGES: message(TEXT),
}


def events_of(dialect: Dialect) -> list[Event]:
    if dialect is Dialect.CHAT:
        pieces = [chunk(piece) for piece in ("one", " two", " three")]
        return [*pieces, chunk("", finish="stop"), usage_chunk(20, 3), END_EVENT]
    raws = message_events(TEXT) if dialect is Dialect.MESSAGES else response_events(TEXT)
    return [*[Event(EventKind.CHUNK, raw) for raw in raws], END_EVENT]


def asked(grammar: Grammar, **members: object) -> Request:
    body = {"model": "small", **ASKED[grammar.dialect], **members}
    request = read_request(grammar, json.dumps(body).encode())
    assert isinstance(request, Request)
    return request


def text_of(dialect: Dialect, body: bytes) -> str:
    said = json.loads(body)
    if dialect is Dialect.CHAT:
        return str(said["choices"][0]["message"]["content"])
    if dialect is Dialect.MESSAGES:
        return "".join(block["text"] for block in said["content"])
    return "".join(part["text"] for item in said["output"] for part in item["content"])


def streamed_text(dialect: Dialect, events: list[Event]) -> str:
    pieces = []
    for event in events:
        said = json.loads(event.raw.partition(b"data: ")[2] or b"{}")
        if dialect is Dialect.CHAT:
            pieces += [choice["delta"].get("content") or "" for choice in said.get("choices", ())]
        elif dialect is Dialect.MESSAGES:
            pieces.append(said.get("delta", {}).get("text", ""))
        elif said.get("type") == "response.output_text.delta":
            pieces.append(said["delta"])
    return "".join(pieces)


PAIRS = [(one, other) for one, other in product(GRAMMARS, GRAMMARS) if one is not other]


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_a_request_arrives_in_the_providers_dialect(caller: Grammar, provider: Grammar) -> None:
    found = translate(asked(caller), provider.dialect, drop=False, max_tokens_default=77)

    assert isinstance(found, Request)
    assert (provider, "small", ()) == (found.grammar, found.model, found.dropped)
    assert b"Say hello." in bytes(found.fields[provider.content])
    assert (caller is not MESSAGES and provider is MESSAGES) == found.limit_is_ours
    if provider is MESSAGES:
        assert b"77" == bytes(found.fields["max_tokens"])


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
def test_a_whole_reply_comes_back_in_the_callers(caller: Grammar, provider: Grammar) -> None:
    translator = reply_translator(provider.dialect, asked(caller), reply_id="call_1", created_s=1)
    body = json.dumps(WHOLE[provider.dialect]).encode()
    (event,) = translator.take([Event(EventKind.COMPLETE, body)])

    assert TEXT == text_of(caller.dialect, event.raw)


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
@pytest.mark.parametrize("size", [1, 100])
def test_a_stream_comes_back_in_the_callers_with_its_end(caller: Grammar, provider: Grammar, size: int) -> None:
    translator = reply_translator(provider.dialect, asked(caller, stream=True), reply_id="call_1", created_s=1)
    sent = events_of(provider.dialect)
    came = [event for at in range(0, len(sent), size) for event in translator.take(sent[at : at + size])]

    assert END_EVENT == came[-1]
    assert 1 == came.count(END_EVENT)
    assert TEXT == streamed_text(caller.dialect, came[:-1])


def test_what_cannot_be_said_on_the_way_is_named_by_either_step() -> None:
    stored = translate(asked(RESPONSES, previous_response_id="r"), Dialect.MESSAGES, drop=True, max_tokens_default=1)
    biased = translate(asked(CHAT, logit_bias={"1": 1}), Dialect.MESSAGES, drop=False, max_tokens_default=1)

    assert isinstance(stored, Untranslatable)
    assert isinstance(biased, Untranslatable)
    assert ("previous_response_id", "logit_bias") == (stored.param, biased.param)


def test_what_is_dropped_is_told() -> None:
    found = translate(asked(CHAT, logit_bias={"1": 1}), Dialect.MESSAGES, drop=True, max_tokens_default=1)

    assert isinstance(found, Request)
    assert ("logit_bias",) == found.dropped


def test_what_litellm_added_to_chat_does_not_stop_a_request_on_its_way_through() -> None:
    """Chat Completions is then only a stop between two dialects that know nothing of it."""
    answer = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no", "is_error": True}
    request = asked(MESSAGES, messages=[{"role": "user", "content": [answer]}])
    found = translate(request, Dialect.RESPONSES, drop=False, max_tokens_default=1, extended=True)

    assert isinstance(found, Request)
    assert b"is_error" not in bytes(found.fields["input"])
