"""What a caller sends reaches the provider, and what the provider answers reaches the caller, as it was written."""

import json
import random
from collections.abc import Callable

import pytest

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Reply
from tests.support.running import chat
from tests.support.stage import Stage
from tests.support.wire import post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

BODIES = 500
ASKED_USAGE = {"include_usage": True}
CHARACTERS = "ab z\t\n\r\0\x7f\"\\/<>&'{}[]:,%\u00e9\u0416\u2028\u202e\ufeff\ufffd\U0001f600"

Pairs = list[tuple[str, object]]
"""A JSON object with the order of its members, members that come twice, and numbers as they were written."""


def exactly(body: bytes) -> Pairs:
    decoded: Pairs = json.loads(
        body, object_pairs_hook=list, parse_int=lambda text: ("int", text), parse_float=lambda text: ("float", text)
    )
    return decoded


# --- requests -------------------------------------------------------------------------------------------------------


class Bodies:
    """Write chat requests over the whole specification, and beyond it, from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def body(self) -> bytes:
        """Return one request, its members in any order, written in one of several ways."""
        members = {"model": "small", "messages": [self.message() for _ in range(self.chance.randint(0, 5))]}
        options = self.options()
        members |= {name: options[name]() for name in self.chance.sample(sorted(options), self.chance.randint(0, 12))}
        names = list(members)
        self.chance.shuffle(names)
        return self.write({name: members[name] for name in names})

    def write(self, members: dict[str, object]) -> bytes:
        style = self.chance.choice([{}, {"separators": (",", ":")}, {"indent": 2}, {"ensure_ascii": False}])
        return json.dumps(members, **style).encode()

    def text(self) -> str:
        return "".join(self.chance.choices(CHARACTERS, k=self.chance.randint(0, 40)))

    def number(self) -> float | int:
        big = [0, -0.0, 1e300, 5e-324, 0.1, 1.0, 2**53 + 1, -(2**63), 2**64, 10**40, 123456789012345678901234567890]
        return self.chance.choice([*big, self.chance.random(), self.chance.randint(-9, 9)])

    def anything(self, depth: int = 0) -> object:
        leaves: list[Callable[[], object]] = [self.text, self.number, lambda: None, lambda: True, list, dict]
        if depth < 4:
            leaves += [
                lambda: [self.anything(depth + 1) for _ in range(self.chance.randint(0, 3))],
                lambda: {self.text(): self.anything(depth + 1) for _ in range(self.chance.randint(0, 3))},
            ]
        return self.chance.choice(leaves)()

    def message(self) -> dict[str, object]:
        role = self.chance.choice(["system", "developer", "user", "assistant", "tool", "function", "x_future"])
        message: dict[str, object] = {"role": role, "content": self.content()}
        if role == "assistant" and self.chance.random() < 0.5:
            message["tool_calls"] = [self.call() for _ in range(self.chance.randint(0, 3))]
            message["content"] = self.chance.choice([None, "", message["content"]])
        if role == "tool":
            message["tool_call_id"] = self.text()
        if self.chance.random() < 0.3:
            message |= {"name": self.text(), "x_note": self.anything(), "reasoning_content": self.text()}
        return message

    def content(self) -> object:
        parts: list[dict[str, object]] = [
            {"type": "text", "text": self.text(), "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "high"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"type": "file", "file": {"file_data": "JVBERg==", "filename": self.text()}},
            {"type": "x_future", "x_future": self.anything()},
        ]
        return self.chance.choice([self.text(), None, [], self.chance.choices(parts, k=self.chance.randint(1, 4))])

    def call(self) -> dict[str, object]:
        arguments = json.dumps({"path": self.text(), "deep": self.anything()})
        return {"id": self.text(), "type": "function", "function": {"name": "f", "arguments": arguments}}

    def tool(self) -> dict[str, object]:
        schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": self.anything()}, "required": []}
        function = {"name": "f", "description": self.text(), "parameters": schema, "strict": True}
        return {"type": "function", "function": function}

    def options(self) -> dict[str, Callable[[], object]]:
        pick = self.chance.choice
        return {
            "stream": lambda: pick([True, False, None]),
            "stream_options": lambda: pick([None, {}, ASKED_USAGE, {"include_usage": False}, {"x_future": [1]}]),
            "temperature": self.number,
            "top_p": self.number,
            "n": lambda: pick([1, 2, None]),
            "stop": lambda: pick([None, [], "\n", ["a", "b"]]),
            "max_tokens": lambda: pick([None, 1, 100]),
            "max_completion_tokens": lambda: pick([None, 1, 2**31]),
            "presence_penalty": self.number,
            "logit_bias": lambda: {"50256": -100, "7": 1.5},
            "logprobs": lambda: pick([True, None]),
            "top_logprobs": lambda: pick([0, 20, None]),
            "seed": lambda: pick([2**63 - 1, -1, None]),
            "user": self.text,
            "metadata": lambda: {self.text(): self.text()},
            "store": lambda: pick([True, False]),
            "tools": lambda: [self.tool() for _ in range(self.chance.randint(0, 3))],
            "tool_choice": lambda: pick(["auto", "none", {"type": "function", "function": {"name": "f"}}]),
            "parallel_tool_calls": lambda: pick([True, False]),
            "response_format": lambda: {"type": "json_schema", "json_schema": {"name": "s", "schema": self.anything()}},
            "reasoning_effort": lambda: pick(["minimal", "high", None]),
            "modalities": lambda: ["text", "audio"],
            "audio": lambda: {"voice": "alloy", "format": "wav"},
            "prediction": lambda: {"type": "content", "content": self.text()},
            "service_tier": lambda: "flex",
            "prompt_cache_key": self.text,
            "web_search_options": dict,
            "functions": list,
            "x_future": self.anything,
            "X-Odd name \u00e9": self.anything,
            "": self.anything,
        }


def expected(body: bytes) -> Pairs:
    """Return what must arrive: the deployment's model, and on a stream a request for the usage; no more."""
    members = dict(exactly(body))
    stream_options = members.get("stream_options")
    members["model"] = "fake-model"
    if members.get("stream") is True:
        asked = [] if stream_options is None else [one for one in stream_options if one[0] != "include_usage"]
        if stream_options is not None and ("include_usage", True) in stream_options:
            return list(members.items())
        if stream_options is not None and "include_usage" in dict(stream_options):
            asked = [(name, True if name == "include_usage" else value) for name, value in stream_options]
        else:
            asked = [*asked, ("include_usage", True)]
        members["stream_options"] = asked
    return list(members.items())


async def test_500_requests_arrive_as_they_were_sent(stage: Stage) -> None:
    """T14a: every member, its order, its numbers to the last digit, null and [] and absent apart."""
    bodies = Bodies(14)
    sent = [bodies.body() for _ in range(BODIES)]
    async with wire(stage.router.http_port) as connection:
        for body in sent:
            stage.upstream.script(Reply(steps=(b"{}",)))
            await connection.send(post(body=body))
            await connection.answer()

    assert BODIES == len(stage.upstream.requests)
    for body, request in zip(sent, stage.upstream.requests, strict=True):
        assert expected(body) == exactly(request.body)
    for feature in ("x_future", "developer", "input_audio", "cache_control", "123456789012345678901234567890"):
        assert 10 < sum(feature.encode() in body for body in sent), feature


async def test_the_text_of_a_member_is_not_written_anew(stage: Stage) -> None:
    """T14a: blanks inside a value, escapes and the spelling of numbers survive, byte for byte."""
    odd = b'[ {"role" : "user","content":"\\u0041\\/ \\ud83d\\ude00"} ,\n\t{"n":1.50E+3, "m":-0,"z":1e5} ]'
    body = b'{ "z" : 1.0e0 ,"messages":' + odd + b' , "model" : "small", "a":[ ] , "b": null }'
    stage.upstream.script(Reply(steps=(b"{}",)))
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(body=body))
        await connection.answer()

    arrived = stage.upstream.requests[0].body
    assert b'{"z":1.0e0,"messages":' + odd + b',"model":"fake-model","a":[ ],"b":null}' == arrived


async def test_of_a_member_that_comes_twice_the_last_one_counts_alone(stage: Stage) -> None:
    """T14a: the router and the provider cannot read two different requests out of one body."""
    body = b'{"model":"none","x":1,"messages":[],"model":"small","x":2,"stream":true,"stream":false}'
    stage.upstream.script(Reply(steps=(b"{}",)))
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(body=body))
        answer = await connection.answer()

    assert 200 == answer.status
    assert b'{"model":"fake-model","x":2,"messages":[],"stream":false}' == stage.upstream.requests[0].body


async def test_a_large_request_arrives_whole(stage: Stage) -> None:
    """T14a: four megabytes of messages, sent in pieces."""
    messages = [{"role": "user", "content": f"{number} " + "\u00e9" * 20_000} for number in range(100)]
    body = json.dumps(chat(messages=messages), ensure_ascii=False).encode()
    async with wire(stage.router.http_port) as connection:
        await connection.send(post(body=body))
        answer = await connection.answer()

    assert 200 == answer.status
    assert 4_000_000 < len(body)
    assert messages == stage.upstream.requests[0].json["messages"]


# --- whole replies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{ "choices" : [ ] , "x" : 1.0 , "big":123456789012345678901234567890,"usage":{"total_tokens":1e0}}',
        b'{"choices":[{"index":0,"message":{"content":"\\u00e9\\ud83d\\ude00 \\u2028"}}]}\n\n  ',
        b'\n {"model":"another","model":"again","choices":null}',
        b'{"choices":[{"message":{"content":"' + "\u00e9\u2028\U0001f600".encode() * 50_000 + b'"}}]}',
        b'{"choices":[{"message":{"content":"half a pair \\ud83d"}}]}',
        b'{"object":"something.else"}',
    ],
    ids=["spacing", "escapes", "twice", "long", "half a pair", "unknown"],
)
@pytest.mark.parametrize("framing", [fake.Framing.LENGTH, fake.Framing.CHUNKED, fake.Framing.UNTIL_CLOSE], ids=str)
async def test_a_whole_reply_is_the_providers_to_the_byte(body: bytes, framing: fake.Framing, stage: Stage) -> None:
    """T15: nothing is parsed and written anew, however it was framed."""
    half = len(body) // 2
    stage.upstream.script(Reply(steps=(body[:half], body[half:]), framing=framing))
    async with wire(stage.router.http_port) as connection:
        await connection.send(post())
        answer = await connection.answer()

    assert 200 == answer.status
    assert body == answer.body
