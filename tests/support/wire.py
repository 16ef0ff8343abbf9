"""Speak HTTP/1.1 to a router byte by byte: what was sent is what a test wrote, what came back is shown as it came."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Generator, Mapping

from tests.support.fake_upstream import reset
from tests.support.running import KEY, chat, sse

CHAT = "/v1/chat/completions"
BODY = json.dumps(chat()).encode()
_PATIENCE_S = 30
"""For all that happens on one connection; a router that hangs fails its own test, not the run."""
_READ_BYTES = 1 << 20


class Answer:
    """One reply, as far as it has come."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.reads = 0
        """Reads of the socket that brought some of the body."""
        self.complete = False
        """The framing said that this is all; a connection that just ends is not that."""

    @property
    def events(self) -> list[str]:
        return sse(self.body.decode())

    @property
    def text(self) -> str:
        """The content of all chunks, as an SDK would join it."""
        chunks = [json.loads(event) for event in self.events if event != "[DONE]"]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def error(self) -> dict[str, object]:
        """The error object of a refusal, or of a stream's last event."""
        streamed = self.headers["content-type"].startswith("text/event-stream")
        error: dict[str, object] = json.loads(self.events[-1] if streamed else self.body)["error"]
        return error

    @property
    def call_id(self) -> str:
        return self.headers["x-checkrein-call"]


class Wire:
    """One connection of a client that may send anything. Replies are read in their order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._came = bytearray()
        """Bytes that are of no answer yet."""
        self._answer = Answer()
        self._parsing = self._parse(self._answer, "POST")

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        # The router may have answered and closed already; what it said can still be read.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    async def ask(self, members: Mapping[str, object], *lines: str) -> Answer:
        """Post a chat request, with `lines` as further headers, and read its whole reply."""
        await self.send(post(*lines, body=members))
        return await self.answer()

    async def answer(self, *, to: str = "POST") -> Answer:
        """Read the next reply, or the rest of one that has begun; the connection must not end before it."""
        answer = await self.answer_until(lambda answer: answer.complete, to=to)
        assert answer.complete, f"the connection ended in a reply: {answer.status} {bytes(answer.body[:1_000])!r}"
        return answer

    async def answer_until(self, enough: Callable[[Answer], bool], *, to: str = "POST") -> Answer:
        """Read on until the reply so far is `enough`, or the connection ends."""
        if self._answer.complete:
            self._answer = Answer()
        if not self._answer.status:
            self._parsing = self._parse(self._answer, to)
        answer = self._answer
        while True:
            had = len(answer.body)
            next(self._parsing, None)
            answer.reads += len(answer.body) > had
            if enough(answer):
                return answer
            data = await self._reader.read(_READ_BYTES)
            if not data:
                return answer
            self._came += data

    async def rest(self) -> bytes:
        """Read whatever else comes, until the router closes the connection, gently or not."""
        with contextlib.suppress(ConnectionError):
            while data := await self._reader.read(_READ_BYTES):
                self._came += data
        return bytes(self._came)

    def close(self) -> None:
        """Leave as a client does that has had enough."""
        self._writer.transport.close()

    def reset(self) -> None:
        """Vanish: the router gets a reset instead of an orderly end."""
        reset(self._writer.transport)

    # Parsing. Each yields when it needs more than has come.

    def _parse(self, answer: Answer, to: str) -> Generator[None, None, None]:
        head = yield from self._line(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        for name, _, value in (line.partition(":") for line in lines):
            assert name.lower() not in answer.headers, f"{name} came twice"
            answer.headers[name.lower()] = value.strip()
        answer.status = int(first.split(" ")[1])
        if to == "HEAD" or answer.status < 200:
            pass
        elif "content-length" in answer.headers:
            assert "transfer-encoding" not in answer.headers
            yield from self._move(answer, int(answer.headers["content-length"]))
        else:
            assert "chunked" == answer.headers["transfer-encoding"]
            while size := int((yield from self._line(b"\r\n")), 16):
                yield from self._move(answer, size)
                assert b"" == (yield from self._line(b"\r\n")), "a chunk is longer than its size"
            assert b"" == (yield from self._line(b"\r\n")), "a trailer"
        answer.complete = True

    def _line(self, end: bytes) -> Generator[None, None, bytes]:
        while (at := self._came.find(end)) < 0:
            yield
        line = bytes(self._came[:at])
        del self._came[: at + len(end)]
        return line

    def _move(self, answer: Answer, size: int) -> Generator[None, None, None]:
        """Move so many bytes into the body, each as soon as it is there."""
        while size > 0:
            piece = self._came[:size]
            del self._came[:size]
            answer.body += piece
            size -= len(piece)
            if size:
                yield


@contextlib.asynccontextmanager
async def wire(
    port: int, *, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None
) -> AsyncIterator[Wire]:
    """Connect. `receive_buffer` is the socket's, in bytes, for a client that shall not take much."""
    async with asyncio.timeout(_PATIENCE_S):
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname="localhost" if tls else None)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def exchange(port: int, data: bytes) -> bytes:
    """Send `data` and return everything that comes back until the router closes the connection."""
    async with wire(port) as connection:
        await connection.send(data)
        return await connection.rest()


def post(
    *lines: str,
    body: bytes | Mapping[str, object] = BODY,
    key: str | None = KEY,
    target: str = CHAT,
    host: str = "router",
) -> bytes:
    """Write a POST with a JSON body. `lines` follow the usual headers; a framing among them replaces ours."""
    data = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
    return head("POST", target, *lines, key=key, host=host, body=data) + data


def head(
    method: str,
    target: str,
    *lines: str,
    key: str | None = KEY,
    host: str = "router",
    body: bytes = b"",
    version: str = "1.1",
) -> bytes:
    fields = [f"{method} {target} HTTP/{version}", f"host: {host}", "content-type: application/json"]
    if key is not None:
        fields.append(f"authorization: Bearer {key}")
    framed = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines)
    if body and not framed:
        fields.append(f"content-length: {len(body)}")
    return "\r\n".join([*fields, *lines, "", ""]).encode("latin-1")


def chunked(*parts: bytes, trailers: bytes = b"") -> bytes:
    """Frame `parts` as chunks, with an end."""
    chunks = b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts])
    return chunks + b"0\r\n" + trailers + b"\r\n"
