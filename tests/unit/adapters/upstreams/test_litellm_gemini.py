"""Where Gemini is asked past `acompletion`, and what is not sent. That both ways are equal is in the contract suite."""

import json
import threading
from copy import deepcopy

import pytest

from router.adapters.upstreams.litellm_exchange import Exchange, Origins
from router.ports.transport import HttpReply, HttpRequest
from tests.support.litellm_calls import real

pytestmark = pytest.mark.slow


class Answer:
    """A reply of one piece."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers = ((b"x-gemini-service-tier", b"standard"),)
        self._pieces = [body]

    @property
    def complete(self) -> bool:
        return not self._pieces

    async def read(self) -> bytes:
        return self._pieces.pop() if self._pieces else b""

    def abort(self) -> None:
        self._pieces.clear()


class Wire:
    """Remembers where it was sent what."""

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        self.answer = Answer(status, body)
        self.origins: list[str] = []
        self.requests: list[HttpRequest] = []

    def to(self, origin: str) -> "Wire":
        self.origins.append(origin)
        return self

    async def send(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        return self.answer  # type: ignore[return-value]  # as much of it as is used

    async def close(self) -> None: ...


async def asked(wire: Wire, **members: object) -> object:
    """Ask in an exchange of its own. litellm is imported late, so what needs it is too."""
    await real().get()
    from router.adapters.upstreams.litellm_gemini import ask_gemini

    Exchange(Origins(wire.to), {}).enter()
    arguments = {"model": "gemini/gemini-2.5-flash", "messages": [{"role": "user", "content": "a"}], "api_key": "k"}
    return await ask_gemini(**{**arguments, "timeout": 1.0, "num_retries": 0, **members})


GOOD = b'{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{}}'


async def test_without_an_address_it_is_googles() -> None:
    wire = Wire(body=GOOD)
    await asked(wire)

    assert ["https://generativelanguage.googleapis.com"] == wire.origins
    (request,) = wire.requests
    assert b"/v1beta/models/gemini-2.5-flash:generateContent" == request.target
    assert b"host: generativelanguage.googleapis.com\r\n" in request.head
    assert b"x-goog-api-key: k\r\n" in request.head


async def test_a_stream_is_asked_for_as_events() -> None:
    wire = Wire()
    await asked(wire, stream=True, api_base="http://h:1/x")

    assert (["http://h:1"], b"/x/models/gemini-2.5-flash:streamGenerateContent?alt=sse") == (
        wire.origins,
        wire.requests[0].target,
    )


async def test_the_environment_may_say_where_google_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_BASE", "http://elsewhere/v9")
    wire = Wire(body=GOOD)
    await asked(wire)

    assert ["http://elsewhere"] == wire.origins


async def test_what_is_ours_is_not_sent() -> None:
    wire = Wire(body=GOOD)
    await asked(wire, caching=False, max_tokens=3, **{"no-log": True})

    body = wire.requests[0].body
    assert isinstance(body, bytes)
    assert {"contents": [{"role": "user", "parts": [{"text": "a"}]}], "generationConfig": {"max_output_tokens": 3}} == (
        json.loads(body)
    )


async def test_a_number_that_json_lacks_is_not_sent() -> None:
    wire = Wire(body=GOOD)
    with pytest.raises(ValueError, match="JSON"):
        await asked(wire, temperature=float("inf"))
    assert not wire.requests


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_left_to_who_reads_the_wire(stream: bool) -> None:
    await real().get()
    from router.adapters.upstreams.litellm_gemini import Refused

    with pytest.raises(Refused):
        await asked(Wire(429, GOOD), stream=stream)


REFERS = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "string"}}}
LONG = {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(4_000)}}


def tool(schema: object) -> list[object]:
    return [{"type": "function", "function": {"name": "look", "parameters": schema}}]


@pytest.mark.parametrize(
    ("members", "is_aside"),
    [
        ({}, False),
        ({"tools": tool({"type": "object", "properties": {}})}, False),
        ({"tools": tool(REFERS)}, True),
        ({"functions": [{"name": "look", "parameters": REFERS}]}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": REFERS}}}, True),
        ({"tools": tool(LONG)}, True),
        ({"messages": [{"role": "user", "content": "a"}] * 1_001}, True),
    ],
    ids=["plain", "tool", "refers", "functions", "format", "long", "messages"],
)
async def test_what_takes_long_is_done_aside(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, object], *, is_aside: bool
) -> None:
    """A dozen definitions that each name the next one twice are a second's work."""
    await real().get()
    from router.adapters.upstreams import litellm_gemini

    threads: list[int] = []
    whole = litellm_gemini._body_of

    def body_of(model: str, asked: dict[str, object]) -> bytes:
        threads.append(threading.get_ident())
        return whole(model, asked)

    monkeypatch.setattr(litellm_gemini, "_body_of", body_of)
    await asked(Wire(body=GOOD), **deepcopy(members))  # litellm writes into what it is given

    assert [is_aside] == [thread != threading.get_ident() for thread in threads]
