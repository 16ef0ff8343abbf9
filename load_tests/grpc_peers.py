"""Serve beside the router of the gRPC bench, each in a process of its own: a cheap provider, and a bare gRPC server.

`python -m load_tests.grpc_peers provider|echo`: prints its port and serves until the end of its input.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, cast

import grpc
import uvloop

TOKENS: Final = 40
"""Chunks with a token, in each stream; two more say the end and the usage."""
GAP_S = float(sys.argv[2]) if __name__ == "__main__" else 0.05  # shorter in the test
"""Between two chunks of a paced stream, so that each comes alone."""
PATHS: Final = (b"/load.Echo/Unary", b"/load.Echo/Stream")
_EXIT_S_MAX: Final = 10.0
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: "
_COMMON: Final = '"id":"chatcmpl-1","created":1700000000,"model":"load-model"'
_USAGE: Final = f'"usage":{{"prompt_tokens":250,"completion_tokens":{TOKENS},"total_tokens":{250 + TOKENS}}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    port: int
    process_id: int


@asynccontextmanager
async def peer(kind: str) -> AsyncIterator[Peer]:
    """Run one until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "load_tests.grpc_peers",
        kind,
        str(GAP_S),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise SystemExit(f"the {kind} of the bench has ended")
        yield Peer(port=int(line), process_id=process.pid)
    finally:
        process.stdin.close()  # its end of input is its end
        try:
            await asyncio.wait_for(process.wait(), _EXIT_S_MAX)
        except TimeoutError:
            process.kill()
            await process.wait()


def _event(members: str) -> bytes:
    data = f'data: {{{_COMMON},"object":"chat.completion.chunk",{members}}}\n\n'.encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def _choice(delta: str, finish: str) -> str:
    return f'"choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]'


_TEXT: Final = " ".join(["word"] * TOKENS)
_MESSAGE: Final = json.dumps({"role": "assistant", "content": _TEXT})
_BODY: Final = (
    f'{{{_COMMON},"object":"chat.completion","choices":[{{"index":0,"message":{_MESSAGE},"finish_reason":"stop"}}],{_USAGE}}}'
).encode()
_WHOLE: Final = _HEAD + b"application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_STREAM_HEAD: Final = _HEAD + b"text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_TOKEN: Final = _event(_choice('"content":"word "', "null"))
_DONE: Final = b"data: [DONE]\n\n"
_END: Final = (
    _event(_choice("", '"stop"')) + _event('"choices":[],' + _USAGE) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(_DONE), _DONE)
)
_BURST: Final = _STREAM_HEAD + _TOKEN * TOKENS + _END


class Provider(asyncio.Protocol):
    """One connection: the model's name says how a reply comes, whole, at once, or a token at a time."""

    def __init__(self) -> None:
        self._read = b""
        self._left = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return
        self._read = b""
        if b'"stream":true' not in body:
            self._transport.write(_WHOLE)
        elif b'"model":"burst"' in body:
            self._transport.write(_BURST)
        else:
            self._left = TOKENS
            self._transport.write(_STREAM_HEAD)
            self._next()

    def _next(self) -> None:
        if self._left == 0:
            self._transport.write(_END)
            return
        self._left -= 1
        self._transport.write(_TOKEN)
        asyncio.get_running_loop().call_later(GAP_S, self._next)


async def _echo(raw: bytes, _context: object) -> bytes:
    return raw


async def _echoes(raw: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> None:
    """Say the chunk that was sent as often as the provider says one, and as slowly."""
    for _ in range(TOKENS):
        await context.write(raw)
        await asyncio.sleep(GAP_S)


async def serve_provider() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=2_048)
    await _until_told(server.sockets[0].getsockname()[1])


async def serve_echo() -> None:
    """The floor: what gRPC costs a Python program that does nothing."""
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", 10_000)])
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(_echo),
        "Stream": grpc.unary_stream_rpc_method_handler(_echoes),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("load.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await _until_told(port)
    await server.stop(None)


async def _until_told(port: int) -> None:
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, partial(sys.stdin.read))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_provider() if sys.argv[1] == "provider" else serve_echo())
