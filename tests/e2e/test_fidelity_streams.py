"""A stream of tool calls passes as the provider wrote it, and an SDK makes of it what the provider meant."""

import json
import random
from dataclasses import dataclass

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.support import fake_upstream as fake
from tests.support.running import chat
from tests.support.stage import Stage, sdk
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

STREAMS = 250
DONE = b"data: [DONE]\n\n"
ASKED_USAGE = {"include_usage": True}
CHARACTERS = "ab z\t\n\r\0\x7f\"\\/<>&'{}[]:,%\u00e9\u0416\u2028\u202e\ufeff\ufffd\U0001f600"


@dataclass(frozen=True, slots=True)
class Source:
    """What a stream says, and how it says it. `plain`: an SDK can put it together again."""

    calls: list[tuple[str, str, str]]
    text: str
    events: list[bytes]
    plain: bool


class Streams:
    """Write streams of tool calls the way providers do, and as badly."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def source(self) -> Source:
        chance = self.chance
        calls = [self.call(number) for number in range(chance.randint(1, 4))]
        text = chance.choice(["", "Let me see.", "\u00e9\U0001f600 "])
        oddity = chance.choice([None, None, "reused index", "missing index", "empty id"])
        deltas: list[dict[str, object]] = [{"role": "assistant", "content": chance.choice([None, ""])}]
        deltas += [{"content": letter} for letter in text]
        deltas += self.interleave([self.pieces(at, call, oddity) for at, call in enumerate(calls)])
        chunks: list[dict[str, object]] = [self.chunk(delta) for delta in deltas]
        chunks.append(self.chunk({}, finish="tool_calls"))
        if chance.random() < 0.3:
            chunks.append({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []})
        events = [self.write(chunk) for chunk in chunks]
        return Source(calls, text, events, oddity is None)

    def call(self, number: int) -> tuple[str, str, str]:
        arguments = {"path": "".join(self.chance.choices(CHARACTERS, k=self.chance.randint(0, 12))), "n": number}
        return f"call_{number}", self.chance.choice(["read", "write"]), json.dumps(arguments)

    def pieces(self, at: int, call: tuple[str, str, str], oddity: str | None) -> list[dict[str, object]]:
        """Cut one call into deltas anywhere, also inside the `\\u` escapes of its arguments."""
        identity, name, arguments = call
        index = {"index": 0 if oddity == "reused index" else at} if oddity != "missing index" else {}
        first = {"id": "" if oddity == "empty id" else identity, "type": "function"}
        cuts = sorted(self.chance.sample(range(len(arguments) + 1), self.chance.randint(0, min(8, len(arguments)))))
        parts = [arguments[start:end] for start, end in zip([0, *cuts], [*cuts, len(arguments)], strict=True)]
        opening = {**index, **first, "function": {"name": name, "arguments": ""}}
        return [
            {"tool_calls": [opening]},
            *({"tool_calls": [{**index, "function": {"arguments": part}}]} for part in parts),
        ]

    def interleave(self, pending: list[list[dict[str, object]]]) -> list[dict[str, object]]:
        """Mix the calls; a call opens after those before it, as SDKs demand, and then goes on at any time."""
        mixed = []
        opened = 0
        while any(pending):
            at = self.chance.choice([at for at, queue in enumerate(pending[: opened + 1]) if queue])
            opened = max(opened, at + 1)
            mixed.append(pending[at].pop(0))
        return mixed

    def chunk(self, delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return frame | ({"x_future": None} if self.chance.random() < 0.1 else {})

    def write(self, chunk: dict[str, object]) -> bytes:
        style = self.chance.choice([{}, {"separators": (",", ":")}, {"ensure_ascii": False}])
        return b"data: " + json.dumps(chunk, **style).encode() + b"\n\n"


def usage_event() -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    return fake.sse(frame)


def sources() -> list[Source]:
    streams = Streams(15)
    return [streams.source() for _ in range(STREAMS)]


async def test_250_streams_of_tool_calls_pass_to_the_byte(stage: Stage) -> None:
    """T15: bytes out are bytes in, minus only the usage chunk that the router asked for and the caller did not."""
    chance = random.Random(1)
    found = sources()
    async with wire(stage.router.http_port) as connection:
        for number, source in enumerate(found):
            wants = number % 2 == 0
            stream = b"".join([*source.events, usage_event(), DONE])
            cuts = sorted(chance.sample(range(1, len(stream)), min(6, len(stream) - 1)))
            parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
            stage.upstream.script(fake.event_stream(*parts))
            options = {"stream_options": ASKED_USAGE} if wants else {}
            await connection.send(post(body=json.dumps(chat(stream=True, **options)).encode()))
            answer = await connection.answer()

            shown = [*source.events, usage_event(), DONE] if wants else [*source.events, DONE]
            assert b"".join(shown) == answer.body, number

    assert {True} == {request.json["stream_options"] == ASKED_USAGE for request in stage.upstream.requests}
    assert 50 < sum(not source.plain for source in found)
    assert 50 < sum(b"\\u" in event for source in found for event in source.events)


async def test_what_the_sdk_puts_together_is_what_the_provider_meant(stage: Stage) -> None:
    """T15: openai-python's accumulated message equals the source; its chunks equal those read from the provider."""
    found = sources()[:120]
    async with sdk(stage.upstream.base_url, "x") as direct, stage.sdk() as through:
        for source in found:
            reply = fake.event_stream(*source.events, DONE)
            stage.upstream.script(reply, reply)
            expected_chunks = await read(direct)
            chunks = await read(through)
            assert expected_chunks == chunks
            if source.plain:
                assert (source.text, source.calls) == accumulated(chunks)

    assert 30 < sum(source.plain for source in found)


async def test_the_sdks_own_accumulator_gives_the_calls_back(stage: Stage) -> None:
    """T15: `client.chat.completions.stream` ends with the calls of the source."""
    async with stage.sdk() as client:
        for source in [source for source in sources() if source.plain][:30]:
            stage.upstream.script(fake.event_stream(*source.events, DONE))
            async with client.chat.completions.stream(
                model="small", messages=[{"role": "user", "content": "hi"}]
            ) as stream:
                final = await stream.get_final_completion()
            message = final.choices[0].message
            calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
            assert (source.text, source.calls) == (message.content or "", calls)
            assert "tool_calls" == final.choices[0].finish_reason


async def read(client: openai.AsyncOpenAI) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    return [chunk async for chunk in stream]


def accumulated(chunks: list[ChatCompletionChunk]) -> tuple[str, list[tuple[str, str, str]]]:
    text = ""
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            for piece in choice.delta.tool_calls or ():
                call = calls.setdefault(piece.index, ["", "", ""])
                function = piece.function
                call[0] += piece.id or ""
                call[1] += (function and function.name) or ""
                call[2] += (function and function.arguments) or ""
    return text, [(identity, name, arguments) for _, (identity, name, arguments) in sorted(calls.items())]
