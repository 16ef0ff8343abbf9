"""A provider under the test's control: what it received, sent and billed is the truth for every comparison.

It is a bare HTTP/1.1 server on a loopback socket in the test's own loop. Each request takes the next scripted
`Reply`; without a script it answers as OpenAI would. Waits are an `asyncio.Event` where a test wants silence until
it says otherwise, and a few real milliseconds elsewhere.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

INPUT_NANO_USD = 2_000
OUTPUT_NANO_USD = 10_000
"""A token's price."""


class Cut(Enum):
    """Ways to end a reply before its end. Both close the connection."""

    CLOSE = "close"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Gap:
    seconds: float


@dataclass(frozen=True, slots=True)
class Token:
    """Bytes that carry one token: it is billed when they are written."""

    raw: bytes


class Silence(Enum):
    """Wait until the peer has had enough."""

    NEVER_ENDS = "never ends"


Step = bytes | Token | Gap | asyncio.Event | Silence | Cut
"""Send, send and bill, wait, wait for the test, wait for ever, end early."""


class Framing(Enum):
    """How the reply's end is marked. RAW: the steps are everything, the head too."""

    CHUNKED = "chunked"
    LENGTH = "length"
    UNTIL_CLOSE = "until_close"
    RAW = "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    steps: tuple[Step, ...] = ()
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)
    framing: Framing = Framing.LENGTH
    before_head: tuple[Step, ...] = ()
    keep_alive: bool = True


@dataclass(slots=True, eq=False)
class Request:
    """One request as it arrived, and what became of its reply."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    chunks: tuple[bytes, ...] = ()
    """The body as it was cut, if it came in chunks."""
    tokens: int = 0
    input_billed: int | None = None
    """What it bills for the input, if a handler says so; else a token a word."""
    sent_bytes: int = 0
    closed_at: float | None = None
    """Loop time at which the peer was seen to have closed, if before the reply was sent."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """The whole reply was written."""

    @property
    def json(self) -> dict[str, object]:
        decoded: dict[str, object] = json.loads(self.body)
        return decoded

    @property
    def input_tokens(self) -> int:
        if self.input_billed is not None:
            return self.input_billed
        messages = self.json.get("messages")
        assert isinstance(messages, list)
        return sum(len(str(message.get("content") or "").split()) for message in messages)

    @property
    def cost_nano_usd(self) -> int:
        return self.input_tokens * INPUT_NANO_USD + self.tokens * OUTPUT_NANO_USD


Handler = Callable[[Request], Reply]


def completion(request: Request, tokens: int = 60) -> Reply:
    """A whole reply of so many tokens."""
    body = {
        **_frame(request, "chat.completion"),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text(tokens)}, "finish_reason": "stop"}],
        "usage": usage(request, tokens),
    }
    # Billed as a whole: a provider that answers unary has done its work before the first byte.
    request.tokens = tokens
    return Reply(steps=(json.dumps(body).encode(),))


def stream(request: Request, tokens: int = 60, gap_s: float = 0.0, last: Iterable[Step] | None = None) -> Reply:
    """A stream of so many tokens. `last` replaces what follows them: finish, usage if asked for, `[DONE]`."""
    steps: list[Step] = [chunk(request, {"role": "assistant", "content": ""})]
    for index in range(tokens):
        if gap_s:
            steps.append(Gap(gap_s))
        steps.append(Token(chunk(request, {"content": word(index)})))
    steps += ending(request, tokens) if last is None else last
    return event_stream(*steps)


def ending(request: Request, tokens: int) -> list[Step]:
    steps: list[Step] = [chunk(request, {}, finish="stop")]
    options = request.json.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        steps.append(sse({**_frame(request, "chat.completion.chunk"), "choices": [], "usage": usage(request, tokens)}))
    return [*steps, b"data: [DONE]\n\n"]


def event_stream(*steps: Step, framing: Framing = Framing.CHUNKED) -> Reply:
    return Reply(steps=steps, headers=(("content-type", "text/event-stream"),), framing=framing)


def error(status: int, message: str = "scripted", *, headers: tuple[tuple[str, str], ...] = (), **more: str) -> Reply:
    body = {"error": {"message": message, "type": None, "param": None, "code": None, **more}}
    head = (("content-type", "application/json"), *headers)
    return Reply(status=status, headers=head, steps=(json.dumps(body).encode(),))


def raw(*steps: Step) -> Reply:
    """These bytes and nothing else; for replies that are not HTTP, or only just."""
    return Reply(steps=steps, framing=Framing.RAW)


def silence(until: asyncio.Event | Silence = Silence.NEVER_ENDS) -> Reply:
    """Take the request and say nothing until the test allows it."""
    return Reply(before_head=(until,), steps=(b"{}",))


def word(index: int) -> str:
    return f"w{index}" if index == 0 else f" w{index}"


def text(tokens: int) -> str:
    return "".join(word(index) for index in range(tokens))


def usage(request: Request, tokens: int) -> dict[str, int]:
    asked = request.input_tokens
    return {"prompt_tokens": asked, "completion_tokens": tokens, "total_tokens": asked + tokens}


def chunk(request: Request, delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({**_frame(request, "chat.completion.chunk"), "choices": [choice]})


def sse(value: object) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _frame(request: Request, kind: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{request.connection}",
        "object": kind,
        "created": 1_767_225_600,
        "model": request.json.get("model"),
    }


def answer(request: Request) -> Reply:
    """What a healthy provider does: a stream if asked for one."""
    return stream(request) if request.json.get("stream") else completion(request)


class FakeUpstream:
    """`async with FakeUpstream() as upstream:` serves until the block ends."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, handler: Handler = answer) -> None:
        self.requests: list[Request] = []
        self.connections_opened = 0
        self.connections: set[_Connection] = set()
        self.handler = handler
        self.taken_bytes = 0
        """Of requests, whole or not."""
        self.early: tuple[int, Reply] | None = None
        """What the next connection with so many bytes of a request answers before it has all, and takes no more."""
        self.full_at: int | None = None
        """After so many bytes of a request a connection takes no more, until `take_on`."""
        self._tls = tls
        self._scripted: deque[Reply | Handler] = deque()
        self._tasks = asyncio.TaskGroup()
        self._arrival = asyncio.Event()
        self._departure = asyncio.Event()
        self.port = 0

    def start_over(self) -> None:
        """Forget all, for the next of the tests that share this provider; nobody finds a kept connection."""
        self.close_idle()
        self.requests.clear()
        self._scripted.clear()
        self.handler = answer
        self.taken_bytes = 0
        self.early = self.full_at = None

    def script(self, *replies: Reply | Handler) -> None:
        """Answer the next requests with these, in order."""
        self._scripted.extend(replies)

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def open_connections(self) -> int:
        return len(self.connections)

    @property
    def billed_nano_usd(self) -> int:
        return sum(request.cost_nano_usd for request in self.requests)

    async def received(self, count: int) -> Request:
        """Wait for the `count`-th request and return it."""
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self._arrival.clear()
                await self._arrival.wait()
        return self.requests[count - 1]

    def take_on(self) -> None:
        self.full_at = None
        for connection in self.connections:
            connection.transport.resume_reading()

    async def left(self, connections: int) -> None:
        """Wait until all but so many connections have been seen to close."""
        async with asyncio.timeout(5):
            while len(self.connections) > connections:
                self._departure.clear()
                await self._departure.wait()

    def close_idle(self) -> None:
        """Close all connections, as a server does with those it kept long enough."""
        for connection in list(self.connections):
            connection.transport.close()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await self._tasks.__aexit__(None, None, None)

    # What connections report.

    def reply_to(self, request: Request) -> Reply:
        self.requests.append(request)
        self._arrival.set()
        scripted = self._scripted.popleft() if self._scripted else self.handler
        return scripted if isinstance(scripted, Reply) else scripted(request)

    def forget(self, connection: "_Connection") -> None:
        self.connections.discard(connection)
        self._departure.set()

    def start(self, connection: "_Connection", request: Request) -> asyncio.Task[None]:
        return self._tasks.create_task(connection.answer(request))


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, owner: FakeUpstream) -> None:
        self._owner = owner
        self._received = bytearray()
        self._wanted_bytes = 0
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's transport is an asyncio.Transport
        self._owner.connections_opened += 1
        self._number = self._owner.connections_opened
        self._owner.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._owner.taken_bytes += len(data)
        self._show_temper()
        if self._request is not None or len(self._received) < self._wanted_bytes:
            return
        head, blank, _ = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body_at = len(head) + len(blank)
        if headers.get("transfer-encoding") == "chunked":
            chunks = _chunks(bytes(self._received[body_at:]))
            if chunks is None:
                return
            self._received.clear()
            method, target, _ = first.split(" ")
            self._request = Request(self._number, method, target, headers, b"".join(chunks), chunks=chunks)
            self._task = self._owner.start(self, self._request)
            return
        self._wanted_bytes = body_at + int(headers.get("content-length", "0"))
        if len(self._received) < self._wanted_bytes:
            return
        body = bytes(self._received[body_at : self._wanted_bytes])
        del self._received[: self._wanted_bytes]
        self._wanted_bytes = 0
        method, target, _ = first.split(" ")
        self._request = Request(self._number, method, target, headers, body)
        self._task = self._owner.start(self, self._request)

    def _show_temper(self) -> None:
        owner, size = self._owner, len(self._received)
        if owner.full_at is not None and size >= owner.full_at:
            self.transport.pause_reading()
        if owner.early is not None and size >= owner.early[0]:
            reply, owner.early = owner.early[1], None
            self.transport.pause_reading()
            self.transport.write(_head(reply) + b"".join([step for step in reply.steps if isinstance(step, bytes)]))

    def eof_received(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.forget(self)
        self._writable.set()
        if self._request is not None:
            self._request.closed_at = asyncio.get_running_loop().time()
            self._request.closed.set()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def answer(self, request: Request) -> None:
        reply = self._owner.reply_to(request)
        for step in reply.before_head:
            if await self._play(step, request, chunked=False):
                return
        if reply.framing is not Framing.RAW:
            self.transport.write(_head(reply))
        for step in reply.steps:
            if await self._play(step, request, chunked=reply.framing is Framing.CHUNKED):
                return
        if reply.framing is Framing.CHUNKED:
            self.transport.write(b"0\r\n\r\n")
        self._request = self._task = None
        request.done.set()
        if reply.framing is Framing.UNTIL_CLOSE or not reply.keep_alive:
            self.transport.close()

    async def _play(self, step: Step, request: Request, *, chunked: bool) -> bool:
        """Do one step; tell whether it ended the reply."""
        match step:
            case Gap(seconds=seconds):
                await asyncio.sleep(seconds)
            case Silence():
                await asyncio.Event().wait()
            case asyncio.Event():
                await step.wait()
            case Cut():
                self._end(step)
                return True
            case Token(raw=data) | (bytes() as data):
                request.tokens += isinstance(step, Token)
                request.sent_bytes += len(data)
                self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                await self._writable.wait()
        return False

    def _end(self, cut: Cut) -> None:
        self._request = self._task = None
        if cut is Cut.RESET:
            reset(self.transport)
        else:
            self.transport.close()


def reset(transport: asyncio.Transport | asyncio.WriteTransport) -> None:
    """Vanish: the peer gets a reset instead of an orderly end."""
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Scripted", *(f"{name}: {value}" for name, value in reply.headers)]
    if reply.framing is Framing.CHUNKED:
        lines.append("transfer-encoding: chunked")
    elif reply.framing is Framing.LENGTH:
        parts = [step.raw if isinstance(step, Token) else step for step in reply.steps]
        lines.append(f"content-length: {sum(len(part) for part in parts if isinstance(part, bytes))}")
    if not reply.keep_alive:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode()


def _chunks(received: bytes) -> tuple[bytes, ...] | None:
    """Cut a chunked body as its sender did; None until all of it is there."""
    if not received.endswith(b"0\r\n\r\n"):  # looked at first: to cut it all again for each read takes long
        return None
    chunks: list[bytes] = []
    while True:
        size, line, received = received.partition(b"\r\n")
        length = int(size, 16) if line else 0
        if not line or len(received) < length + 2:
            return None
        assert received[length : length + 2] == b"\r\n", "a chunk is longer than its size"
        if not length:
            assert received == b"\r\n", "a trailer, or bytes after the end"
            return tuple(chunks)
        chunks.append(received[:length])
        received = received[length + 2 :]
