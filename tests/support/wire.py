"""Speak HTTP/1.1 to a router byte by byte, for tests in which the bytes matter."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.support.running import KEY, chat

CHAT = "/v1/chat/completions"
BODY = json.dumps(chat()).encode()
_PATIENCE_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for field, value in self.fields if field == name), None)

    @property
    def error(self) -> dict[str, object]:
        error: dict[str, object] = json.loads(self.body)["error"]
        return error


class Wire:
    """One connection of a client that may send anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        # The router may have answered and closed already; what it said can still be read.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def send_eof(self) -> None:
        self._writer.write_eof()

    async def answer(self, *, to: str = "POST") -> Answer:
        """Read one reply. `asyncio.IncompleteReadError`: there is none."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        pairs = [line.partition(":") for line in lines]
        answer = Answer(
            status=int(first.split(" ")[1]),
            fields=[(name.lower(), value.strip()) for name, _, value in pairs],
            body=b"",
        )
        if to == "HEAD" or answer.status < 200:
            return answer
        return Answer(status=answer.status, fields=answer.fields, body=await self._body(answer))

    async def rest(self) -> bytes:
        """Read until the router closes the connection, gently or not."""
        data = bytearray()
        with contextlib.suppress(ConnectionError):
            while more := await self._reader.read(65_536):
                data += more
        return bytes(data)

    async def _body(self, answer: Answer) -> bytes:
        length = answer.header("content-length")
        if length is not None:
            return await self._reader.readexactly(int(length))
        if answer.header("transfer-encoding") != "chunked":
            return await self.rest()
        body = bytearray()
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        assert b"\r\n" == await self._reader.readexactly(2)
        return bytes(body)


@contextlib.asynccontextmanager
async def wire(port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Connect; everything inside the block happens within ten seconds."""
    async with asyncio.timeout(_PATIENCE_S):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
        )
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


def post(*lines: str, body: bytes = BODY, key: str | None = KEY, target: str = CHAT, host: str = "router") -> bytes:
    """Write a POST with a JSON body. `lines` follow the usual headers; a framing among them replaces ours."""
    return head("POST", target, *lines, key=key, host=host, body=body) + body


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


async def exchange(port: int, data: bytes) -> bytes:
    """Send `data` and return everything that comes back until the router closes the connection."""
    async with wire(port) as connection:
        await connection.send(data)
        return await connection.rest()
