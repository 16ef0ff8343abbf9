"""Serve the hot inference routes as plain ASGI and hand everything else to the FastAPI application behind.

A route here is a decoder, one `pipeline.open` and an encoder.
"""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable

from router.domain.dialects.request import read_request
from router.domain.faults import Fault, Refusal, RouterError, refuse
from router.domain.metadata import Metadata, read_metadata
from router.domain.settlement import Labels
from router.domain.stream import ReplyMode
from router.facades.http.asgi import App, Receive, Scope, Send
from router.facades.http.body import CallerGone, check_body_headers
from router.facades.http.disconnect import CallerWatch, Polled, polled
from router.facades.http.exchange import HotRoutes
from router.facades.http.inbound import AsgiInbound, Inbound, WholeInbound
from router.facades.http.limits import HttpLimits
from router.facades.http.metered_body import receive_metered
from router.facades.http.outlet import Outlet
from router.facades.http.protocol import FrontProtocol
from router.facades.http.reply_writer import ReplyWriter, write_refusal
from router.facades.http.voice import BY_PATH, Voice
from router.pipeline.call import Call
from router.pipeline.open import INTERNAL, Pipeline

_log = logging.getLogger(__name__)

_NO_METADATA = Metadata(labels=Labels())


class Front:
    """The ASGI application of the HTTP listener."""

    def __init__(self, *, pipeline: Pipeline, rest: App, limits: HttpLimits) -> None:
        self._pipeline = pipeline
        self._rest = rest
        self._limits = limits

    @property
    def hot_routes(self) -> HotRoutes:
        """What our own listener may bring without ASGI between."""
        return HotRoutes(
            targets=frozenset([path.encode() for path in BY_PATH]),
            answer=lambda exchange: self._answer(WholeInbound(exchange)),
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] in BY_PATH:
            return self._answer_through_asgi(scope, receive, send)
        return self._rest(scope, receive, send)

    async def _answer_through_asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        inbound = AsgiInbound(scope, receive, send)
        if inbound.connection is not None:
            await self._answer(inbound)
            return
        await self._answer(inbound, receive)

    async def _answer(self, inbound: Inbound, receive: Receive | None = None) -> None:
        """Answer a request. `receive`: where to ask whether the caller is there, if its connection does not tell."""
        arrived = self._pipeline.clock.monotonic_ns()
        outlet, voice = inbound.outlet, BY_PATH[inbound.path]
        metadata = read_metadata(inbound.headers)
        request_id = self._pipeline.request_id(metadata if isinstance(metadata, Metadata) else _NO_METADATA)
        try:
            call = await self._decode(inbound, voice, metadata, request_id, arrived)
        except RouterError as exc:
            self._pipeline.telemetry.request_rejected(exc.refusal.fault)
            write_refusal(outlet, voice, exc.refusal, request_id)
            await outlet.flush()
            return
        except CallerGone:
            self._pipeline.telemetry.request_rejected(Fault.CLIENT_CLOSED)
            return
        except Exception:
            # The border before there is a call to settle; the other one is in `_serve`.
            _log.exception("internal error in %s", request_id)
            self._pipeline.telemetry.request_rejected(INTERNAL.fault)
            write_refusal(outlet, voice, INTERNAL, request_id)
            await outlet.flush()
            return
        if inbound.connection is not None:
            await self._serve(inbound.connection, call, outlet, voice)
        else:
            assert receive is not None, "somebody has to tell"
            async with polled(receive) as substitute:
                await self._serve(substitute, call, outlet, voice)

    async def _serve(self, connection: FrontProtocol | Polled, call: Call, outlet: Outlet, voice: Voice) -> None:
        """Serve until the reply is written or nobody is there to read it."""
        watch = CallerWatch(connection, call)
        writer = ReplyWriter(outlet, call, voice)
        metered = voice.grammar.metered
        # What such a reply will be only its provider knows, so that no head can go out before.
        ping_ns = None if metered else self._limits.stream_ping_ns
        try:
            with watch, self._pipeline.open(call, ping_ns=ping_ns) as reply:
                batch = await reply.read()
                if metered:
                    writer.as_it_comes(batch, reply.upstream_headers)
                elif call.request.mode is ReplyMode.UNARY:
                    writer.unary(batch[-1].raw, reply.upstream_headers)
                else:
                    writer.begin_stream(reply.upstream_headers)
                    writer.take(batch)
                while not writer.ended:
                    await outlet.flush()
                    await reply.each(writer.take)
        except RouterError as exc:
            writer.fail(exc.refusal)
        except CancelledError:
            # Our own watch cancelled this task because nobody is left to answer. Nothing above waits for the
            # cancellation, so it ends here; any other one goes on.
            if not watch.gone:
                raise
        except Exception:
            # The border of the façade: a bug costs its own caller an honest error, and nobody else anything.
            _log.exception("internal error in %s", call.request_id)
            writer.fail(INTERNAL)
        await outlet.flush()

    async def _decode(
        self, inbound: Inbound, voice: Voice, metadata: Metadata | Refusal, request_id: str, arrived: int
    ) -> Call:
        """Read a request as far as a call, cheapest refusals first: a bad key never gets its body read."""
        if inbound.method != "POST":
            raise refuse(Fault.METHOD_NOT_ALLOWED, "Use POST on this route.")
        if isinstance(metadata, Refusal):
            raise RouterError(metadata)
        principal = self._pipeline.authenticate(metadata, peer_local=inbound.local)
        grammar = voice.grammar
        content_type = check_body_headers(inbound.headers, max_bytes=self._limits.max_body, form=grammar.form)
        max_bytes, upload = self._limits.max_body, None
        if grammar.metered:
            request, upload = await receive_metered(inbound, grammar, content_type, max_bytes=max_bytes)
        else:
            request = read_request(grammar, await inbound.body(max_bytes=max_bytes))
        if isinstance(request, Refusal):
            raise RouterError(request)
        prefix = voice.passes
        return self._pipeline.call(
            request,
            principal=principal,
            metadata=metadata,
            request_id=request_id,
            route=voice.grammar.dialect.value,
            arrived=arrived,
            upload=upload,
            passed_headers=()
            if prefix is None
            else tuple([pair for pair in inbound.headers if pair[0].startswith(prefix)]),
        )
