"""Serve the hot inference routes as plain ASGI and hand everything else to the FastAPI application behind.

A route here is a decoder, one `pipeline.open` and an encoder.
"""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable

from router.domain.chat import read_chat_request
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.metadata import Metadata, read_metadata
from router.domain.settlement import Labels, Outcome
from router.domain.stream import ReplyMode
from router.facades.http.asgi import App, Receive, Scope, Send
from router.facades.http.body import CallerGone, read_json_body
from router.facades.http.disconnect import CallerWatch, Polled, polled
from router.facades.http.limits import HttpLimits
from router.facades.http.outlet import Outlet, outlet_for
from router.facades.http.peer import is_local
from router.facades.http.protocol import FrontProtocol, connection_of
from router.facades.http.reply_writer import ReplyWriter, is_last, send_refusal
from router.pipeline.call import Call
from router.pipeline.open import INTERNAL, Pipeline

_log = logging.getLogger(__name__)

_NO_METADATA = Metadata(labels=Labels())

CHAT_PATHS = frozenset({"/v1/chat/completions", "/chat/completions"})


class Front:
    """The ASGI application of the HTTP listener."""

    def __init__(self, *, pipeline: Pipeline, rest: App, limits: HttpLimits) -> None:
        self._pipeline = pipeline
        self._rest = rest
        self._limits = limits

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] in CHAT_PATHS:
            return self._chat(scope, receive, send)
        return self._rest(scope, receive, send)

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = self._pipeline.clock.monotonic_ns()
        outlet = outlet_for(scope, send)
        metadata = read_metadata(scope["headers"])
        request_id = self._pipeline.request_id(metadata if isinstance(metadata, Metadata) else _NO_METADATA)
        try:
            call = await self._decode(scope, receive, metadata, request_id, arrived)
        except RouterError as exc:
            self._pipeline.telemetry.request_rejected(exc.refusal.fault)
            await send_refusal(outlet, exc.refusal, request_id)
            return
        except CallerGone:
            self._pipeline.telemetry.request_rejected(Fault.CLIENT_CLOSED)
            return
        except Exception:
            # The border before there is a call to settle; the other one is in `_serve_while_there`.
            _log.exception("internal error in %s", request_id)
            self._pipeline.telemetry.request_rejected(INTERNAL.fault)
            await send_refusal(outlet, INTERNAL, request_id)
            return
        connection = connection_of(scope)
        if connection is not None:
            await self._serve_while_there(connection, call, outlet)
        else:
            async with polled(receive) as substitute:
                await self._serve_while_there(substitute, call, outlet)

    async def _serve_while_there(self, connection: FrontProtocol | Polled, call: Call, outlet: Outlet) -> None:
        """Serve until the reply is written or nobody is there to read it."""
        watch = CallerWatch(connection, lambda: call.close(Outcome.CLIENT_CANCELLED))
        writer = ReplyWriter(outlet, call)
        try:
            with watch:
                await self._serve(call, writer)
        except CancelledError:
            # Our own watch cancelled this task because nobody is left to answer. Nothing above waits for the
            # cancellation, so it ends here; any other one goes on.
            if not watch.gone:
                raise
        except Exception:
            # The border of the façade: a bug costs its own caller an honest error, and nobody else anything.
            _log.exception("internal error in %s", call.request_id)
            await writer.fail(INTERNAL)

    async def _decode(
        self, scope: Scope, receive: Receive, metadata: Metadata | Refusal, request_id: str, arrived: int
    ) -> Call:
        """Read a request as far as a call, cheapest refusals first: a bad key never gets its body read."""
        if scope["method"] != "POST":
            raise refuse(Fault.METHOD_NOT_ALLOWED, "Use POST on this route.")
        if isinstance(metadata, Refusal):
            raise RouterError(metadata)
        principal = self._pipeline.authenticate(metadata, peer_local=is_local(scope))
        body = await read_json_body(scope, receive, max_bytes=self._limits.max_body)
        request = read_chat_request(body)
        if isinstance(request, Refusal):
            raise RouterError(request)
        return self._pipeline.call(
            request, principal=principal, metadata=metadata, request_id=request_id, route="chat", arrived=arrived
        )

    async def _serve(self, call: Call, writer: ReplyWriter) -> None:
        try:
            with self._pipeline.open(call, ping_ns=self._limits.stream_ping_ns) as reply:
                batch = await reply.read()
                if call.request.mode is ReplyMode.UNARY:
                    await writer.unary(batch[-1].raw, reply.upstream_headers)
                    return
                await writer.begin_stream(reply.upstream_headers)
                while not is_last(batch):
                    await writer.more(batch)
                    batch = await reply.read()
                await writer.end_stream(batch)
        except RouterError as exc:
            await writer.fail(exc.refusal)
