"""Examine deployments side by side: what is known of each, the way to it, and one call of one token."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from router.domain.catalog import Deployment, Provider, ProviderKind
from router.domain.diagnosis import (
    Answer,
    Check,
    Level,
    Reach,
    Report,
    check_answer,
    check_facts,
    check_failure,
    check_reach,
    worst,
)
from router.domain.dialects.dialect import CHAT, EMBEDDINGS, Dialect, Grammar, spoken_for
from router.domain.dialects.meter import Meter
from router.domain.dialects.meters import METERS
from router.domain.dialects.request import Request, read_request, upstream_body
from router.domain.dialects.translators import translate
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import ProviderId
from router.domain.instants import NS_PER_S, format_duration
from router.domain.pricing import bill
from router.domain.stream import Event, EventKind
from router.ports.clock import Clock
from router.ports.upstream import LiveStream, Upstream, UpstreamFailed, UpstreamRequest

SIDE_BY_SIDE_MAX: Final = 8
"""Providers, and then calls, at the same time."""
CALL_NS_MAX: Final = 15 * NS_PER_S
"""From the connection to the end of the reply."""

_END: Final = (EventKind.END, EventKind.COMPLETE)
_CUT: Final = Failure(kind=FailureKind.CUT, message="the reply ended before it was complete")
_EMPTY: Final = Failure(kind=FailureKind.EMPTY, message="the reply ended before it began")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the doctor works with."""

    clock: Clock
    look_around: Callable[[Provider], Awaitable[Reach]]
    upstream_of: Callable[[Provider], Awaitable[Upstream]]
    """Raises ValueError or OSError for a provider that cannot be asked."""


class Doctor:
    """Examines deployments of one configuration. `offline`: nobody is asked anything."""

    def __init__(self, tools: Tools, providers: Iterable[Provider], *, offline: bool) -> None:
        self._tools = tools
        self._providers = {provider.id: provider for provider in providers}
        self._offline = offline
        self._places = asyncio.Semaphore(SIDE_BY_SIDE_MAX)
        self._ways: dict[ProviderId, tuple[Check, ...]] = {}

    async def examine(self, deployments: Iterable[Deployment]) -> list[Report]:
        """Examine deployments; the reports come in their order."""
        wanted = list(deployments)
        async with asyncio.TaskGroup() as tasks:
            for provider in dict.fromkeys(deployment.provider for deployment in wanted):
                tasks.create_task(self._find_way(self._providers[provider]))
        async with asyncio.TaskGroup() as tasks:
            reports = [tasks.create_task(self._report(deployment)) for deployment in wanted]
        return [report.result() for report in reports]

    async def _find_way(self, provider: Provider) -> None:
        self._ways[provider.id] = ()
        if self._offline or provider.kind is ProviderKind.SCRIPTED or provider.network.proxy is not None:
            return  # nobody to ask, or a proxy finds the way: the call will tell
        async with self._places:
            reach = await self._tools.look_around(provider)
        self._ways[provider.id] = check_reach(reach, self._tools.clock.wall_ns())

    async def _report(self, deployment: Deployment) -> Report:
        checks, answer = list(self._ways[deployment.provider]), None
        if not self._offline and worst(check.level for check in checks) is not Level.FAIL:
            async with self._places:
                check, answer = await self._call(deployment)
            checks.append(check)
        return Report(
            target=deployment.target,
            provider=deployment.provider,
            model=deployment.upstream_model,
            checks=(*checks, *check_facts(deployment)),
            answer=answer,
        )

    async def _call(self, deployment: Deployment) -> tuple[Check, Answer | None]:
        """Ask for one token, through what serves calls."""
        if not _can_be_tried(deployment):
            return Check(name="call", level=Level.OK, says="not tried: what it makes is paid for by the piece"), None
        try:
            upstream = await self._tools.upstream_of(self._providers[deployment.provider])
        except (ValueError, OSError) as exc:
            return Check(name="call", level=Level.FAIL, says=str(exc), fix="correct the provider's settings"), None
        try:
            async with asyncio.timeout(CALL_NS_MAX / NS_PER_S):
                answer = await self._ask(upstream, deployment)
        except UpstreamFailed as exc:
            return check_failure(exc.failure, deployment), None
        except TimeoutError:
            words = f"{deployment.provider} did not finish its answer within {format_duration(CALL_NS_MAX)}"
            return check_failure(Failure(kind=FailureKind.TOTAL_TIMEOUT, message=words), deployment), None
        finally:
            await upstream.close()
        return check_answer(answer), answer

    async def _ask(self, upstream: Upstream, deployment: Deployment) -> Answer:
        """Raises `UpstreamFailed`."""
        clock, asked = self._tools.clock, _request_for(deployment)
        dialect, body = asked.grammar.dialect, upstream_body(asked, deployment.upstream_model)
        meter, begun = METERS[dialect](wants_usage=True), clock.monotonic_ns()
        live = await upstream.open(UpstreamRequest(deployment=deployment, dialect=dialect, body=body, mode=asked.mode))
        try:
            first = await _hear(live, meter, clock)
        finally:
            live.abort()
        now, usage = clock.monotonic_ns(), meter.measured(len(body))
        price = deployment.price
        return Answer(
            usage=usage,
            first_token_ns=(now if first is None else first) - begun,
            cost=None if price is None else bill(usage, price, now - begun),
        )


async def _hear(live: LiveStream, meter: Meter, clock: Clock) -> int | None:
    """Read a reply to its end; return when it became real. Raises `UpstreamFailed`."""
    first: int | None = None
    while True:
        batch: list[Event] = await live.read()
        meter.take(batch)
        if meter.failure is not None:
            raise UpstreamFailed(meter.failure)
        if first is None and meter.started:
            first = clock.monotonic_ns()
        if batch and batch[-1].kind in _END:
            if not meter.finished:
                raise UpstreamFailed(_CUT if meter.started else _EMPTY)
            return first


def _can_be_tried(deployment: Deployment) -> bool:
    """Tell whether there is a question that costs next to nothing."""
    if deployment.price is not None and deployment.price.units is not None:
        return False
    return Dialect.EMBEDDINGS in deployment.dialects or spoken_for(Dialect.CHAT, deployment.dialects) is not None


def _request_for(deployment: Deployment) -> Request:
    """Write the shortest of requests in a dialect that the deployment speaks."""
    if (dialect := spoken_for(Dialect.CHAT, deployment.dialects)) is None:
        return _read(EMBEDDINGS, {"model": deployment.upstream_model, "input": "yes"})
    chat = _read(
        CHAT,
        {
            "model": deployment.upstream_model,
            "messages": [{"role": "user", "content": "Say yes."}],
            deployment.max_tokens_field or "max_tokens": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )
    asked = chat if dialect is Dialect.CHAT else translate(chat, dialect, drop=True, max_tokens_default=1)
    assert isinstance(asked, Request), "every dialect can say this"
    return asked


def _read(grammar: Grammar, members: Mapping[str, object]) -> Request:
    asked = read_request(grammar, msgspec.json.encode(members))
    assert isinstance(asked, Request), "it is our own"
    return asked
