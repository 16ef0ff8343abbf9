"""Drive a call from candidate to candidate until a reply is real: do what the dispatch machine says, and no more."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from router.domain.catalog import Deployment
from router.domain.dispatch.breakers import Breakers
from router.domain.dispatch.failure import Failure
from router.domain.dispatch.machine import Command, Dispatch, Give, Start, Wait, Widen
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.governance.budget import Amounts
from router.domain.instants import NS_PER_S
from router.pipeline.admission import Declined
from router.pipeline.admit import Gate
from router.pipeline.attempt import Attempt
from router.pipeline.call import Call
from router.pipeline.dispatch import dispatch
from router.pipeline.plan import Planner
from router.pipeline.wording import worded_for
from router.ports.clock import Clock, Draw
from router.ports.upstream import UpstreamFailed, Upstreams

INTERNAL: Final = Refusal(
    fault=Fault.INTERNAL,
    message="The router failed on this call. Tell its operator the request id.",
)


class Means:
    """What every call needs to be sent; one of them a process."""

    __slots__ = ("breakers", "clock", "draw", "gate", "planner", "upstreams")

    def __init__(
        self,
        *,
        clock: Clock,
        draw: Draw,
        gate: Gate,
        planner: Planner,
        breakers: Breakers,
        upstreams: Upstreams,
    ) -> None:
        self.clock = clock
        self.draw = draw
        self.gate = gate
        self.planner = planner
        self.breakers = breakers
        self.upstreams = upstreams


class Attempts:
    """The attempts of one call."""

    __slots__ = ("_call", "_machine", "_means")

    def __init__(self, call: Call, machine: Dispatch, means: Means) -> None:
        self._call = call
        self._machine = machine
        self._means = means

    async def first(self) -> Attempt:
        """Return the first attempt whose request is on its way. Raises `RouterError`."""
        return await self._until_sent(self._machine.begin(self._means.clock.monotonic_ns()))

    async def next(self, failed: Attempt, failure: Failure) -> Attempt:
        """Return the attempt after one that failed before its reply was real. Raises `RouterError`."""
        return await self._until_sent(self._after(failed, failure))

    async def _until_sent(self, command: Command) -> Attempt:
        call, clock = self._call, self._means.clock
        while True:
            if isinstance(command, Start):
                sent = await self._send(command.deployment)
                if isinstance(sent, Attempt):
                    return sent
                command = sent
            elif isinstance(command, Wait):
                await self._pause(command.until - clock.monotonic_ns())
                command = self._machine.woke(clock.monotonic_ns())
            elif isinstance(command, Widen):
                candidates = self._means.planner.widen(call, command.kind)
                command = self._machine.widened(candidates, clock.monotonic_ns())
            else:
                assert isinstance(command, Give)
                raise RouterError(call.refusal or command.refusal)

    async def _send(self, deployment: Deployment) -> Attempt | Command:
        """Admit and dispatch one attempt; return it, or what comes next if it could not be sent."""
        call, means = self._call, self._means
        now = means.clock.monotonic_ns()
        assert call.plan is not None, "planned before it is sent"
        provider = call.snapshot.providers[deployment.provider]
        asked = worded_for(deployment, provider, call.request, call.plan, means.planner.authors)
        if isinstance(asked, Refusal):
            return self._machine.declined(asked, None, now)
        if deployment.adaptive and means.planner.is_full(deployment):
            return self._machine.declined(None, None, now)
        passage = means.breakers.enter(deployment, now)
        if isinstance(passage, int):
            return self._machine.declined(None, passage, now)
        try:
            card = await means.gate.admit(call, deployment, asked)
            if call.outcome is not None:
                go_on(call)
        except BaseException as exc:
            passage.left()
            if isinstance(exc, Declined):
                return self._machine.declined(exc.refusal, None, means.clock.monotonic_ns())
            raise
        now = means.clock.monotonic_ns()
        if means.planner.is_crowded(deployment):  # others came while this call was put on record
            passage.left()
            means.gate.vacate(call, None)
            return self._machine.declined(None, None, now)
        tokens = means.planner.sent(call, deployment, now)
        attempt = Attempt(
            len(call.attempts) + 1,
            deployment,
            passage=passage,
            load=means.planner.started(deployment, tokens, now),
            card=card,
            started_ns=means.clock.wall_ns(),
            begun=now,
            hurried=call.timeout_ns is not None,
            felt=means.planner.felt(deployment, tokens, now) if deployment.adaptive else None,
        )
        call.attempts.append(attempt)
        try:
            sending = dispatch(call, attempt, asked, means.upstreams.find(deployment.provider), means.planner.authors)
            if call.upload is None:
                await sending
            else:
                attempt.uploads(call.upload, now)
                await _while_open(call, sending)
                if call.upload.whole:
                    attempt.uploaded(means.clock.monotonic_ns())
        except UpstreamFailed as exc:
            return self._after(attempt, exc.failure)
        if call.outcome is not None:
            attempt.leave(now)  # it was closed before it had this flight to leave
            go_on(call)
        return attempt

    def _after(self, attempt: Attempt, failure: Failure) -> Command:
        """Close the books of an attempt that failed, and ask what comes next."""
        call, means = self._call, self._means
        go_on(call)
        now = means.clock.monotonic_ns()
        at = attempt.deployment
        again = any(one.deployment.id == at.id and one.deployment.target != at.target for one in call.attempts)
        verdict = attempt.fail(failure, now, again=again)
        attempt.leave(now)
        row = attempt.row(now, call.input_bytes)
        means.gate.vacate(call, row.usage)
        tokens = row.usage.input + row.usage.output
        call.spent = call.spent.plus(Amounts(row.cost_nano_usd or 0, tokens, 0, -(-row.duration_ns // NS_PER_S)))
        repeatable = call.upload is None or call.upload.repeatable
        return self._machine.failed(failure, verdict, now, means.draw.uniform(), repeatable=repeatable)

    async def _pause(self, span_ns: int) -> None:
        """Let time pass, or less when the call is closed from elsewhere. Raises `RouterError` then."""
        call = self._call
        over = asyncio.Event()
        timer = asyncio.get_running_loop().call_later(max(0, span_ns) / NS_PER_S, over.set)
        call.wake = over.set
        try:
            await over.wait()
        finally:
            timer.cancel()
            call.wake = None
        go_on(call)


async def _while_open(call: Call, sending: Awaitable[object]) -> None:
    """Send, but no longer than the call is open. Raises `RouterError` when it was closed from elsewhere."""
    limit = asyncio.timeout(None)
    call.wake = lambda: limit.reschedule(0.0)
    try:
        async with limit:
            await sending
    except TimeoutError:
        if not limit.expired():
            raise
        go_on(call)
    finally:
        call.wake = None


def go_on(call: Call) -> None:
    """Stop after a wait during which somebody else ended the call, as a drain does. Raises `RouterError`."""
    if call.outcome is not None:
        raise RouterError(call.refusal or INTERNAL)
