"""Serve `PassthroughService`: the HTTP façade itself answers, as behind any server of ASGI, and this is the server."""

import asyncio
import logging
from typing import Final

import grpc
from checkrein.v1.passthrough_pb2 import ForwardRequest, ForwardResponse, Header
from google.protobuf.message import DecodeError

from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.ids import parse_call_id
from router.domain.instants import NS_PER_S
from router.domain.metadata import Metadata, read_metadata
from router.domain.settlement import Labels
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.forward_head import length_of, named, read_head, scope_of, size_of, wrong_length
from router.facades.grpc.inbound import is_local, pairs_of
from router.facades.http.asgi import App, Message
from router.facades.http.errors import TOO_LARGE, TOO_SLOW, Headers, error_body, error_headers
from router.facades.http.limits import HttpLimits
from router.pipeline.open import Pipeline
from router.ports.ledger import LedgerUnavailable

_log = logging.getLogger(__name__)

_PIECE_BYTES_MAX: Final = 256 * 1024
"""Of a reply in one message; clients take no message over 4 MiB unless they are told to."""
_FRAME_BYTES: Final = 64
"""Of a message beside the bytes that it carries, and more."""
_NO_METADATA: Final = Metadata(labels=Labels())
_GONE: Final[Message] = {"type": "http.disconnect"}
_CALL: Final = b"x-checkrein-call"
_BROKE_OFF: Final = "The reply broke off, and what came of it is not whole. Send the request again."


def passthrough_service(
    border: Border, pipeline: Pipeline, http: App, limits: HttpLimits, *, message_bytes_max: int
) -> grpc.ServiceRpcHandler:
    """`http`: what answers HTTP. It holds to `limits` as far as an application can; the rest of them is held here."""
    piece_bytes = min(_PIECE_BYTES_MAX, message_bytes_max - _FRAME_BYTES)

    async def forward(asking: Asking) -> None:
        await _Passage(asking, pipeline, limits, piece_bytes).go(http)

    return service("checkrein.v1.PassthroughService", {"Forward": border.conversation(forward)})


class _Passage:
    """One request and its reply. `receive` and `send` are ASGI's."""

    def __init__(self, asking: Asking, pipeline: Pipeline, limits: HttpLimits, piece_bytes: int) -> None:
        self._asking = asking
        self._pipeline = pipeline
        self._limits = limits
        self._piece_bytes = piece_bytes
        self._late_at = asyncio.get_running_loop().time() + limits.body_timeout_ns / NS_PER_S
        self._length: int | None = None
        self._arrived = 0
        self._whole = False
        """The request is here."""
        self._refused: Refusal | None = None
        """Why the request is not read on; whatever answers it, nobody is told that."""
        self._task = asyncio.current_task()
        self._began = self._ended = False
        self._call_id = ""

    async def go(self, http: App) -> None:
        """Have a request answered. Raises `RouterError` for one that is not what it should be, or a broken reply."""
        asking = self._asking
        metadata = pairs_of(asking.rpc.invocation_metadata() or ())
        said = read_metadata(metadata)
        asking.request_id = self._pipeline.request_id(said if isinstance(said, Metadata) else _NO_METADATA)
        first = await self._part()
        if first is None or not first.HasField("head"):
            raise refuse(Fault.INVALID_REQUEST, "The first message must be a `head`.", param="head")
        if size_of(first.head) > self._limits.max_headers:
            await self._answer(TOO_LARGE)
            return
        headers = read_head(first.head, metadata, asking.rpc.time_remaining())
        self._length = length_of(headers)
        said = read_metadata(headers)
        if isinstance(said, Metadata):
            asking.request_id = said.request_id or asking.request_id
        scope = scope_of(first.head, named(headers, asking.request_id), local=is_local(asking.rpc.peer()))
        try:
            await http(scope, self.receive, self.send)
        except Exception:
            if not self._ended:
                raise
            _log.exception("internal error in %s", asking.request_id)  # its caller was told by HTTP
        if self._refused is TOO_SLOW and not self._began:
            await self._answer(TOO_SLOW)
        elif self._refused is not None:
            raise RouterError(self._refused)
        elif not self._ended:
            raise RouterError(await self._what_broke())

    async def receive(self) -> Message:
        """Bring the next of the body; after it only the caller's end could come, at which gRPC cancels us."""
        if self._refused is None and self._whole:
            await asyncio.Event().wait()
        if self._refused is None:
            try:
                part = await self._part()
                if part is not None:
                    return {"type": "http.request", "body": self._body_of(part), "more_body": True}
                # Who only watches for the caller's end uses nothing of the body, and must not write beside the reply.
                if asyncio.current_task() is self._task and not await self._asking.is_there():
                    raise asyncio.CancelledError  # as gRPC is about to have it
                if self._length is not None and self._arrived != self._length:
                    raise wrong_length()
            except RouterError as exc:
                self._refused = exc.refusal
        self._asking.counted = True  # by HTTP: a call, or one that is refused, or a caller that is gone
        if self._refused is not None:
            return _GONE
        self._whole = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Write a part of the reply, when its reader has room for it."""
        if self._refused is not None:
            return
        if message["type"] == "http.response.start":
            await self._begin(message["status"], message["headers"])
            return
        body = message.get("body", b"")
        for at in range(0, len(body), self._piece_bytes):
            await self._asking.write(ForwardResponse(body=bytes(body[at : at + self._piece_bytes])))
        self._ended = not message.get("more_body", False)

    async def _begin(self, status: int, headers: Headers) -> None:
        self._began = self._asking.counted = True
        self._call_id = dict(headers).get(_CALL, b"").decode()
        said = [Header(name=name.decode("latin-1"), value=value) for name, value in headers]
        await self._asking.write(ForwardResponse(head=ForwardResponse.Head(status=status, headers=said)))

    async def _part(self) -> ForwardRequest | None:
        """Read a message; None: there are no more. Raises `RouterError`."""
        pause = asyncio.get_running_loop().time() + self._limits.read_timeout_ns / NS_PER_S
        try:
            async with asyncio.timeout_at(min(pause, self._late_at)):
                raw = await self._asking.rpc.read()
        except TimeoutError:
            raise RouterError(TOO_SLOW) from None
        if not isinstance(raw, bytes):
            return None
        try:
            return ForwardRequest.FromString(raw)
        except DecodeError:
            raise refuse(
                Fault.INVALID_REQUEST, "A message is no ForwardRequest. Send what its proto file says."
            ) from None

    def _body_of(self, part: ForwardRequest) -> bytes:
        if not part.HasField("body"):
            raise refuse(Fault.INVALID_REQUEST, "After the first message each must be a `body`.", param="body")
        self._arrived += len(part.body)
        return part.body

    async def _answer(self, refusal: Refusal) -> None:
        """Say beside the application what HTTP's listener says beside it."""
        self._refused = None
        body = error_body(refusal)
        await self._begin(refusal.status, [*error_headers(refusal), (b"content-length", b"%d" % len(body))])
        await self.send({"type": "http.response.body", "body": body})

    async def _what_broke(self) -> Refusal:
        """Tell why a reply has no end, in which HTTP can say nothing; its row knows."""
        number, record = parse_call_id(self._call_id), None
        if number is not None:
            try:
                record = await self._pipeline.ledger.read_call(number)
            except LedgerUnavailable:
                _log.warning("the ledger cannot say what broke %s", self._call_id)
        fault = Fault.UPSTREAM_STREAM_INTERRUPTED
        if record is not None and record.fault is not None:
            fault = Fault(record.fault)
        return Refusal(fault=fault, message=_BROKE_OFF)
