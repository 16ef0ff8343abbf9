"""Join ports and adapters: the only file that names both."""

import asyncio
import logging
import os
import sys
from asyncio import TaskGroup
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware.cors import CORSMiddleware

from router.adapters.breakers_pybreaker import PybreakerStates
from router.adapters.clock_system import SystemClock, SystemDraw
from router.adapters.keys_sqlite import SqliteKeys, open_sqlite_keys
from router.adapters.ledger_sqlite import SqliteLedger, open_sqlite_ledger
from router.adapters.prices_litellm import catalogues
from router.adapters.process_log import set_up_process_log
from router.adapters.records_sqlite import SqliteRecords, open_sqlite_records
from router.adapters.telemetry_events import EventTelemetry
from router.adapters.telemetry_fan_out import FanOutTelemetry
from router.adapters.telemetry_log import LogTelemetry
from router.adapters.telemetry_prometheus import PrometheusTelemetry
from router.adapters.transport_httptools import transport_to, transport_to_receiver
from router.adapters.upstreams.litellm_library import BEGIN_S, LitellmLibrary, load_litellm
from router.adapters.upstreams.registry import UpstreamRegistry
from router.adapters.webhooks.endpoint import Endpoint
from router.adapters.webhooks.registry import Webhooks
from router.admin.administration import Administration, administer
from router.admin.budgets import window_name
from router.collector import settle
from router.config import KeySettings, Loaded, Settings, Sources, webhooks_of
from router.configured import Configured, read_stored
from router.domain.catalog import Snapshot
from router.domain.dispatch.breakers import Breakers
from router.domain.events import webhook_test
from router.facades.grpc.listener import GrpcListener
from router.facades.http.admin.desks import AdminDesks
from router.facades.http.admin.resource import REF_TEMPLATE
from router.facades.http.app import build_app
from router.facades.http.asgi import App
from router.facades.http.exchange import HotRoutes
from router.facades.http.front import Front
from router.facades.http.ops import build_ops_app
from router.lifecycle import Address, Lifecycle, Listener, Phase
from router.listening import drain_of, grpc_limits, http_limits, say_start, tls_of
from router.pipeline.limit_states import LiveLimits
from router.pipeline.open import Pipeline
from router.ports.keys import KeysUnavailable
from router.ports.ledger import LedgerUnavailable
from router.ports.limit_states import LimitStates
from router.tenantbook import SECTIONS

if TYPE_CHECKING:
    from router.facades.grpc.server import GrpcServer

__all__ = [
    "CannotStart",
    "Router",
    "Running",
    "log_to_stderr",
    "try_webhooks",
]

_log = logging.getLogger(__name__)

Refresh = Callable[[], Awaitable[None]]
"""Brings in force what is stored."""

_WATCH_S: Final = 0.5
"""How often files and the store's revision are looked at: a change by somebody else is in force within twice of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A router that serves: where, and how to tell it to reload or stop. Stopping twice hurries."""

    http_port: int
    ops_port: int
    grpc_port: int | None
    """None: gRPC is not served."""
    reload: Callable[[], None]
    stop: Callable[[], None]


class CannotStart(Exception):
    """Something outside the router is in the way; the message says what, and what to do."""


class Router:
    """A router put together and not yet serving."""

    def __init__(self, loaded: Loaded, *, sources: Sources, first_key: str) -> None:
        self._settings: Settings = loaded.settings
        self._phase = Phase()
        self._clock = SystemClock()
        self._prometheus = PrometheusTelemetry()
        self._phase.store_unseen_ns = self._prometheus.store_unseen_ns = lambda: self.configured.store_unseen_ns
        self._log = LogTelemetry(sys.stdout.buffer, beside=self._prometheus)
        self._telemetry = FanOutTelemetry(self._prometheus, self._log)
        self._breaker_states = PybreakerStates(self._telemetry)
        self._prometheus.breaker_states = self._breaker_states.states
        self._breakers = Breakers(uniform=SystemDraw().uniform, changed=self._breaker_states.changed)
        self.configured = Configured(
            loaded, sources=sources, first_key=first_key, catalogues=catalogues(), clock=self._clock
        )
        self._draw = SystemDraw()
        self._litellm = LitellmLibrary(load_litellm)
        self._registry = UpstreamRegistry(clock=self._clock, transport_to=transport_to, litellm=self._litellm)
        self._webhooks = Webhooks(
            transport_to=transport_to_receiver, clock=self._clock, draw=self._draw, telemetry=self._telemetry
        )

    async def serve(self, started: Callable[[Running], None]) -> None:
        """Serve until told to stop, then drain and put everything away. Calls `started` once, when it listens."""
        settings = self._settings
        async with TaskGroup() as tasks, AsyncExitStack() as put_away:
            with _starting():
                ledger = await self._open_ledger(tasks)
                # Whatever happens: a store left open keeps the process alive by its thread.
                put_away.push_async_callback(ledger.close)
                keys = await open_sqlite_keys(settings.store.url)
                put_away.push_async_callback(keys.close)
                records = await open_sqlite_records(settings.store.url)
                put_away.push_async_callback(records.close)
                refresh = partial(self._refresh_stored, keys, records, ledger)
                await self._read_stored(keys, records, ledger)
                put_away.push_async_callback(self._webhooks.close)
                await self._follow(ledger, tasks, self.configured.current)
            pipeline = Pipeline(
                clock=self._clock,
                draw=self._draw,
                ledger=ledger,
                telemetry=FanOutTelemetry(self._prometheus, self._log, self._event_telemetry(ledger)),
                upstreams=self._registry,
                snapshots=self.configured,
                breakers=self._breakers,
            )
            limits = LiveLimits(
                gate=pipeline.gate, book=pipeline.upstream_limits, snapshots=self.configured, clock=self._clock
            )
            self._prometheus.open_calls = pipeline.open_calls.__len__
            self._prometheus.upstream_remaining = limits.remaining
            administration = self._administration(keys, records, refresh, ledger, limits)
            with _starting():
                front = self._front(pipeline, administration)
                http, ops = self._listeners(front)
                grpc = self._grpc_listener(pipeline, front, administration, (http, ops))
            await administration.top_ups.purge()
            lifecycle = Lifecycle(
                pipeline=pipeline, http=http, ops=ops, grpc=grpc, phase=self._phase, drain=drain_of(settings)
            )
            reloads = asyncio.Event()
            for watching in (self._watch(reloads, ledger, tasks), _watch_store(refresh)):
                put_away.callback(tasks.create_task(watching).cancel)
            put_away.callback(self._log.close)
            put_away.push_async_callback(self._registry.close)
            settle()
            say_start(settings, http, ops)
            put_away.callback(asyncio.get_running_loop().call_later(BEGIN_S, self._litellm.listening).cancel)
            started(
                Running(
                    http_port=http.port,
                    ops_port=ops.port,
                    grpc_port=None if grpc is None else grpc.port,
                    reload=reloads.set,
                    stop=lifecycle.told_to_stop,
                )
            )
            await lifecycle.run(put_away.aclose)

    async def _open_ledger(self, tasks: TaskGroup) -> SqliteLedger:
        store = self._settings.store
        return await open_sqlite_ledger(
            store.url,
            durability=store.durability,
            clock=self._clock,
            telemetry=self._telemetry,
            tasks=tasks,
            keep_ns=self._settings.retention.ledger,
            keep_audit_ns=self._settings.retention.audit,
        )

    def _event_telemetry(self, ledger: SqliteLedger) -> EventTelemetry:
        return EventTelemetry(
            events=self._webhooks,
            ledger=ledger,
            snapshots=self.configured,
            clock=self._clock,
            draw=self._draw,
            window_name=window_name,
        )

    def _administration(
        self, keys: SqliteKeys, records: SqliteRecords, refresh: Refresh, ledger: SqliteLedger, limits: LimitStates
    ) -> Administration:
        return administer(
            keys=keys,
            records=records,
            rules=self.configured,
            refresh=refresh,
            accounts=ledger,
            history=ledger.history,
            limits=limits,
            breakers=self._breakers,
            clock=self._clock,
            draw_bytes=os.urandom,
        )

    def _front(self, pipeline: Pipeline, administration: Administration) -> Front:
        """Put together what answers HTTP, over its own listener and through gRPC's."""
        admin = AdminDesks.of(
            administration,
            key=KeySettings.model_json_schema(ref_template=REF_TEMPLATE),
            tenants={kind: one.model_json_schema(ref_template=REF_TEMPLATE) for kind, one in SECTIONS.items()},
        )
        limits = http_limits(self._settings)
        rest = build_app(
            pipeline=pipeline, health=self._phase, admin=admin, max_body=limits.max_body, asides=self._registry
        )
        return Front(pipeline=pipeline, rest=rest, limits=limits)

    def _listeners(self, inference: Front) -> tuple[Listener, Listener]:
        http, ops, limits = self._settings.server.http, self._settings.server.ops, http_limits(self._settings)
        app: App = inference
        hot: HotRoutes | None = inference.hot_routes
        if http.cors:
            hot = None  # what a middleware must see goes through it
            app = CORSMiddleware(
                app,
                allow_origins=http.cors,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["*"],
            )
        ops_app = build_ops_app(health=self._phase, exposition=self._exposition)
        front = Listener(app, Address(host=http.host, port=http.port, tls=tls_of(http.tls)), limits, hot=hot)
        try:
            return front, Listener(ops_app, Address(host=ops.host, port=ops.port), limits)
        except OSError:
            front.unbind()
            raise

    def _grpc_listener(
        self, pipeline: Pipeline, front: Front, administration: Administration, bound: tuple[Listener, ...]
    ) -> GrpcListener | None:
        """Hold the port of gRPC, if it is served. `bound`: what to give back where it cannot be had."""
        settings = self._settings.server.grpc
        if settings is None:
            return None
        limits = grpc_limits(settings)
        tls = tls_of(settings.tls)

        def build(address: str) -> "GrpcServer":
            from router.facades.grpc.server import build_server

            with _starting():
                return build_server(
                    pipeline=pipeline,
                    administration=administration,
                    asides=self._registry,
                    http=front,
                    http_limits=http_limits(self._settings),
                    address=address,
                    limits=limits,
                    tls=tls,
                )

        try:
            return GrpcListener(settings.host, settings.port, build, tls=tls)
        except OSError:
            for listener in bound:
                listener.unbind()
            raise

    def _exposition(self) -> tuple[bytes, str]:
        return generate_latest(self._prometheus.registry), CONTENT_TYPE_LATEST

    async def _follow(self, ledger: SqliteLedger, tasks: TaskGroup, snapshot: Snapshot) -> None:
        """Bring what outlives a snapshot to the next one. Raises ValueError or OSError before anything is changed."""
        swap_webhooks = self._webhooks.prepare(snapshot.webhooks, tasks)
        await self._registry.apply(snapshot)
        swap_webhooks()
        ledger.set_budgets(snapshot.budgets.values())
        deployments = [
            deployment
            for model in (*snapshot.models.values(), *snapshot.direct.values())
            for deployment in model.deployments
        ]
        self._breakers.follow(snapshot.breaker, deployments)
        self._breaker_states.keep(deployments)

    async def _read_stored(self, keys: SqliteKeys, records: SqliteRecords, ledger: SqliteLedger) -> None:
        """Put what is stored in force. Raises `KeysUnavailable`."""
        await self.configured.take_stored(await read_stored(keys, records), ledger.set_budgets)

    async def _refresh_stored(self, keys: SqliteKeys, records: SqliteRecords, ledger: SqliteLedger) -> None:
        """Put what is stored in force if it is not yet; while the store is out of reach, all stays as it is."""
        try:
            revision = await keys.revision()
            self.configured.store_seen()  # now: what is read there may take long to be compiled
            if revision != self.configured.stored_revision:
                await self._read_stored(keys, records, ledger)
        except KeysUnavailable as exc:
            _log.error("stored keys and tenants stay as they are until the store can be read again: %s", exc)

    async def _watch(self, reloads: asyncio.Event, ledger: SqliteLedger, tasks: TaskGroup) -> None:
        """Reload when a file changes or when told to."""
        while True:
            try:
                async with asyncio.timeout(_WATCH_S):
                    await reloads.wait()
                reloads.clear()
            except TimeoutError:
                if not self.configured.files_changed():
                    continue
            await self.configured.reload(partial(self._follow, ledger, tasks))


async def _watch_store(refresh: Refresh) -> None:
    """Read what is stored when somebody changed it. Apart: a store that hangs must not hold up a reload."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_WATCH_S):
                await asyncio.Event().wait()
        await refresh()


@contextmanager
def _starting() -> Iterator[None]:
    """Tell what is wrong around us (a store, a port, a certificate) from what is wrong with us."""
    try:
        yield
    except (LedgerUnavailable, KeysUnavailable, OSError, ValueError) as exc:
        raise CannotStart(str(exc)) from exc


def log_to_stderr(settings: Settings) -> None:
    set_up_process_log(level=settings.logging.level, style=settings.logging.format)


async def try_webhooks(settings: Settings) -> list[tuple[str, str | None]]:
    """Post a test event to each receiver, once: its host, and why it did not arrive. Raises ValueError or OSError."""
    clock, draw = SystemClock(), SystemDraw()
    tried = []
    for webhook in webhooks_of(settings):
        transport = transport_to_receiver(webhook.url.reveal())
        endpoint = Endpoint(webhook, transport, clock=clock, draw=draw, telemetry=FanOutTelemetry())
        event = webhook_test(token=draw.token(), wall_ns=clock.wall_ns())
        tried.append((endpoint.host, await endpoint.try_once(event, msgspec.json.encode(event))))
        await endpoint.close()
    return tried
