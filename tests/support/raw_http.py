"""An HTTP/1.1 client that shows what clients hide: each read as it came, how a body ended, what came after."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httptools

from tests.support.running import KEY, sse

_READ_BYTES = 1 << 20


class RawReply:
    """One reply, read as far as it has come. `reads` are the body's bytes, an item for each read of the socket."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.reads: list[bytes] = []
        self.times: list[float] = []
        self.complete = False
        """The framing said that this is all; a connection that just ends is not that."""
        self._parser = httptools.HttpResponseParser(self)

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

    def feed(self, data: bytes, now: float) -> None:
        before = len(self.body)
        self._parser.feed_data(data)
        if len(self.body) > before:
            self.reads.append(self.body[before:])
            self.times.append(now)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        name_ = name.decode().lower()
        assert name_ not in self.headers, f"{name_} came twice"
        self.headers[name_] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = "content-length" in self.headers or "transfer-encoding" in self.headers


class RawClient:
    """`async with RawClient(port) as client:` is one connection; requests go one after another."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self._port = port
        self._receive_buffer = receive_buffer
        self._reply = RawReply()

    async def __aenter__(self) -> Self:
        sock = socket.socket()
        if self._receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        except OSError:
            sock.close()
            raise
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=2**12)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._writer.transport.abort()

    def send(self, members: dict[str, object], **headers: str) -> None:
        """Ask for a chat completion; the reply is read by one of the methods below."""
        body = json.dumps(members).encode()
        self.send_bytes(head(len(body), **headers) + body)

    def send_bytes(self, data: bytes) -> None:
        self._reply = RawReply()
        self._writer.write(data)

    async def reply(self) -> RawReply:
        """Read to the end of the reply, or of the connection."""
        return await self.read_until(lambda reply: reply.complete)

    async def ask(self, members: dict[str, object], **headers: str) -> RawReply:
        self.send(members, **headers)
        return await self.reply()

    async def read_until(self, enough: Callable[[RawReply], bool]) -> RawReply:
        """Read on until the reply so far is `enough`."""
        loop = asyncio.get_running_loop()
        while not enough(self._reply):
            data = await self._reader.read(_READ_BYTES)
            if not data:
                break
            self._reply.feed(data, loop.time())
        return self._reply

    async def ended(self) -> bool:
        """Wait for the router to close the connection; False if it sends something instead."""
        try:
            return await self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Vanish: the router gets a reset instead of an orderly end."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()


def head(content_length: int, **headers: str) -> bytes:
    """The head of a chat request; underscores of a header's name become dashes."""
    fields = {
        "host": "127.0.0.1",
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "content-length": str(content_length),
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = ["POST /v1/chat/completions HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()
