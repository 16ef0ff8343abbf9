"""T15 of what is translated: a thousand streams, however badly they are written, are the calls that were meant.

They are put together again by OpenAI's own client. Two translators stand between it and the source, so that either
would show what it loses.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from router.domain.dialects.dialect import CHAT, MESSAGES, RESPONSES, Dialect, Grammar
from router.domain.dialects.request import Request
from router.domain.dialects.translation import ReplyTranslator
from router.domain.dialects.translators import reply_translator
from router.domain.stream import END_EVENT, Event, EventKind, ReplyMode
from tests.support import dialects as provider
from tests.support.messages_streams import fold_chat
from tests.support.responses import chance_of, raws, response_of

STREAMS = 1_000
CHARACTERS = 'ab z\t\n"\\/{}[]:,\u00e9\u2028\ufeff\U0001f600'
BATCH_MAX = 4
UNNUMBERED = {"missing index", "by place"}

Json = dict[str, Any]
Calls = list[tuple[str, str, str]]
"""Ids, names and arguments."""


def translator(spoken: Dialect, asked: Grammar) -> ReplyTranslator:
    request = Request(
        grammar=asked, fields=raws({"model": "m"}), model="m", mode=ReplyMode.STREAM, wants_usage=True, size=9
    )
    return reply_translator(spoken, request, reply_id="r1", created_s=7)


def there_and_back(by: Grammar) -> Callable[[list[Event]], list[Event]]:
    """From a provider of Chat Completions to a caller of another dialect, and from there to one of Chat Completions."""
    there, back = translator(Dialect.CHAT, by), translator(by.dialect, CHAT)
    return lambda batch: back.take(there.take(batch))


ROUTES: dict[str, Callable[[], Callable[[list[Event]], list[Event]]]] = {
    "messages": lambda: there_and_back(MESSAGES),
    "responses": lambda: there_and_back(RESPONSES),
}


class Streams:
    """Write streams of tool calls as providers of Chat Completions do, and as badly."""

    def __init__(self, seed: int) -> None:
        self.chance = chance_of(seed)

    def one(self) -> tuple[Calls, str, list[Event]]:
        """Return what is meant, and the chunks that say it."""
        chance = self.chance
        oddity = chance.choice(["", "", "reused index", "missing index", "empty id", "by place"])
        calls = [self.call(number) for number in range(chance.randint(1, 4))]
        text = chance.choice(["", "Let me see.", "\u00e9\U0001f600 "])
        queues = [self.pieces(at, call, oddity) for at, call in enumerate(calls)]
        deltas: list[Json] = [{"role": "assistant", "content": chance.choice([None, ""])}]
        deltas += [{"content": letter} for letter in text]
        # Without an index of its own, a piece belongs to the last call: those cannot come mixed.
        mixed = oddity in {"", "empty id"}
        if oddity == "by place":
            deltas += self.side_by_side(queues)
        else:
            deltas += self.interleaved(queues) if mixed else [delta for queue in queues for delta in queue]
        unfinished: list[str | None] = [None, ""]
        events = [self.written(delta, chance.choice(unfinished)) for delta in deltas]
        events.append(self.written(chance.choice([{}, {"content": ""}]), chance.choice(["tool_calls", "stop"])))
        if chance.random() < 0.5:
            events.append(self.written({}, None))
        return calls, text, events

    def call(self, number: int) -> tuple[str, str, str]:
        arguments = {"path": "".join(self.chance.choices(CHARACTERS, k=self.chance.randint(0, 12))), "n": number}
        written = json.dumps(arguments, ensure_ascii=self.chance.random() < 0.5)
        return f"call_{number}", self.chance.choice(["read", "write"]), written

    def pieces(self, at: int, call: tuple[str, str, str], oddity: str) -> list[Json]:
        """Cut one call into deltas anywhere, also inside the `\\u` escapes of its arguments."""
        identity, name, arguments = call
        index = {"index": 0 if oddity == "reused index" else at} if oddity not in UNNUMBERED else {}
        cuts = sorted(self.chance.sample(range(len(arguments) + 1), self.chance.randint(0, min(8, len(arguments)))))
        first, *rest = [arguments[a:b] for a, b in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
        opening = {**index, "id": "" if oddity == "empty id" else identity, "type": "function"}
        said = [{**opening, "function": {"name": name, "arguments": first}}]
        said += [{**index, "function": {"arguments": piece}} for piece in rest]
        return [{"tool_calls": [piece]} for piece in said]

    def side_by_side(self, queues: list[list[Json]]) -> list[Json]:
        """Say of all calls a piece at a time, each at its place in the delta and without an index, as Moonshot does."""
        rows = itertools.zip_longest(*queues, fillvalue={"tool_calls": [{"function": {"arguments": ""}}]})
        return [{"tool_calls": [piece for delta in row for piece in delta["tool_calls"]]} for row in rows]

    def interleaved(self, pending: list[list[Json]]) -> list[Json]:
        """Mix the calls; a call opens after those before it, and then goes on at any time."""
        mixed, opened = [], 0
        while any(pending):
            at = self.chance.choice([at for at, queue in enumerate(pending[: opened + 1]) if queue])
            opened = max(opened, at + 1)
            mixed.append(pending[at].pop(0))
        return mixed

    def written(self, delta: Json, finish: str | None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        ascii_only = self.chance.random() < 0.5
        return Event(EventKind.CHUNK, b"data: %b\n\n" % json.dumps(chunk, ensure_ascii=ascii_only).encode())

    def batches(self, events: list[Event]) -> list[list[Event]]:
        rest, batches = list(events), []
        while rest:
            size = self.chance.randint(1, BATCH_MAX)
            batches.append(rest[:size])
            del rest[:size]
        return batches


def calls_of(message: Json) -> Calls:
    return [
        (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_a_thousand_streams_are_the_calls_that_were_meant(route: str) -> None:
    """T15: mixed calls, reused or missing index, empty id, cut escapes, text before, an empty chunk after the end."""
    streams = Streams(15)
    for number in range(STREAMS):
        calls, text, events = streams.one()
        translate = ROUTES[route]()
        said = [event for batch in streams.batches([*events, END_EVENT]) for event in translate(batch)]
        found = fold_chat(said)
        (choice,) = found["choices"]
        there = calls_of(choice["message"])

        assert [call[1:] for call in calls] == [call[1:] for call in there], number
        assert text == (choice["message"].get("content") or ""), number
        assert ["tool_calls"] == found["finishes"], number
        ids = [call[0] for call in there]
        assert len(ids) == len(set(ids)) == sum(map(bool, ids)), number
        if b'"id": ""' not in b"".join(event.raw for event in events):
            assert [call[0] for call in calls] == ids, number


@pytest.mark.parametrize("route", ROUTES)
def test_a_stream_that_is_cut_anywhere_has_no_finish_reason(route: str) -> None:
    """T15: so no client executes a call that is not whole."""
    streams = Streams(16)
    for number in range(100):
        _, _, events = streams.one()
        end = next(at for at, event in enumerate(events) if b'"stop"' in event.raw or b'"tool_calls"}' in event.raw)
        kept = events[: streams.chance.randint(1, end)]
        translate = ROUTES[route]()
        said = [event for batch in streams.batches(kept) for event in translate(batch)]

        assert [] == (fold_chat(said)["finishes"] if said else []), number


WORDS = "one two three"


@pytest.mark.parametrize(
    ("spoken", "events"),
    [(Dialect.MESSAGES, provider.message_events), (Dialect.RESPONSES, provider.response_events)],
)
def test_a_stream_of_another_dialect_has_one_finish_reason_and_usage(
    spoken: Dialect, events: Callable[[str], list[bytes]]
) -> None:
    """T14c, T15."""
    said = translator(spoken, CHAT).take([*[Event(EventKind.CHUNK, raw) for raw in events(WORDS)], END_EVENT])
    found = fold_chat(said)

    assert (["stop"], WORDS) == (found["finishes"], found["choices"][0]["message"]["content"])
    assert 20 == found["usage"]["prompt_tokens"]


class Replies:
    """Write whole replies over what providers answer, from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = chance_of(seed)

    def text(self) -> str:
        return "".join(self.chance.choices(CHARACTERS, k=self.chance.randint(1, 20)))

    def message(self) -> Json:
        pick = self.chance.choice
        blocks: list[Json] = [
            {"type": "thinking", "thinking": self.text(), "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZGF0YQ=="},
            {"type": "text", "text": self.text(), "citations": None},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {self.text(): [1, None, self.text()]}},
        ]
        content = self.chance.sample(blocks, self.chance.randint(0, 4))
        stop = pick(["end_turn", "max_tokens", "stop_sequence", "pause_turn", "tool_use", "refusal", "x_future"])
        whole = {**provider.message("", cached=pick([0, 7])), "content": content, "stop_reason": stop}
        return whole if self.chance.random() < 0.9 else {name: one for name, one in whole.items() if name != "usage"}

    def response(self) -> Json:
        pick = self.chance.choice
        part = {"type": "output_text", "text": self.text(), "annotations": [], "logprobs": pick([[], None, [LIKELY]])}
        items: list[Json] = [
            {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": self.text()}]},
            {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]},
            {
                "id": "msg_2",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": self.text()}],
            },
            {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f", "arguments": self.text()},
        ]
        status = pick(["completed", "incomplete"])
        details = {"reason": pick(["max_output_tokens", "content_filter"])} if status == "incomplete" else None
        output = self.chance.sample(items, self.chance.randint(0, 4))
        return {**provider.response("x", status=status), "output": output, "incomplete_details": details}

    def completion(self) -> Json:
        pick = self.chance.choice
        call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": self.text()}}
        message = {
            "role": "assistant",
            "content": pick([None, "", self.text()]),
            "refusal": pick([None, self.text()]),
            "reasoning_content": pick([None, self.text()]),
            "tool_calls": pick([None, [], [call], [call, {**call, "id": ""}]]),
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": pick([None, {"content": [LIKELY], "refusal": None}]),
            "finish_reason": pick(["stop", "length", "tool_calls", "content_filter"]),
        }
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return {**whole, "usage": pick([usage, None])}


LIKELY = {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}


@pytest.mark.parametrize(
    ("spoken", "write"), [(Dialect.MESSAGES, Replies.message), (Dialect.RESPONSES, Replies.response)]
)
def test_openais_client_takes_200_translated_replies(spoken: Dialect, write: Callable[[Replies], Json]) -> None:
    """T14c: strictly, every member of its type; an empty `top_logprobs` is [], not null."""
    replies = Replies(14)
    for number in range(200):
        raw = json.dumps(write(replies)).encode()
        (event,) = translator(spoken, CHAT).take([Event(EventKind.COMPLETE, raw)])
        found = ChatCompletion.model_validate_json(event.raw, strict=True)
        (choice,) = found.choices

        assert "assistant" == choice.message.role, number
        assert bool(choice.message.tool_calls) == (b'"tool_calls":[' in event.raw), number
        probable = choice.logprobs.content if choice.logprobs is not None else None
        assert all([] == one.top_logprobs for one in probable or ()), number
        assert b'"top_logprobs":null' not in event.raw


def test_openais_client_takes_200_translated_responses() -> None:
    """T14c, for callers of Responses."""
    replies = Replies(14)
    for number in range(200):
        raw = json.dumps(replies.completion()).encode()
        (event,) = translator(Dialect.CHAT, RESPONSES).take([Event(EventKind.COMPLETE, raw)])
        found = Response.model_validate_json(event.raw, strict=True)

        assert found.status in {"completed", "incomplete"}, number


def test_and_the_events_of_such_streams() -> None:
    """T14c: OpenAI's client takes every event of a hundred streams, and keeps their calls."""
    streams = Streams(17)
    for number in range(100):
        calls, text, events = streams.one()
        said = translator(Dialect.CHAT, RESPONSES).take([*events, END_EVENT])
        found = response_of(said)

        made = [(item.name, item.arguments) for item in found.output if item.type == "function_call"]
        assert [call[1:] for call in calls] == made, number
        assert text == found.output_text, number
