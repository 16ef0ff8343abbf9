"""One life of the router, from the opening of its store to a clean close or a `kill -9`."""

import asyncio
from random import Random  # noqa: TID251 - a run is a function of its seed
from typing import Any, cast

from router.adapters.ledger_sqlite import open_sqlite_ledger
from router.adapters.sql.sqlite_store import Durability
from router.domain.dialects.dialect import CHAT
from router.domain.dialects.request import Request, read_request
from router.domain.dispatch.breakers import Breakers
from router.domain.faults import RouterError
from router.domain.governance.output_estimate import SAMPLES_MIN, class_of
from router.domain.metadata import Metadata
from router.domain.settlement import Outcome
from router.domain.stream import EventKind
from router.pipeline.call import Call
from router.pipeline.open import Pipeline
from tests.simulation.model import Model
from tests.simulation.provider import Provider
from tests.simulation.scenario import AGENTS, KEYS, Asked, Scenario
from tests.simulation.spy import SpiedLedger
from tests.simulation.store import Disk, Tasks
from tests.support import fakes

SHOWN = (EventKind.CHUNK, EventKind.COMPLETE)
LAST = (EventKind.COMPLETE, EventKind.END, EventKind.ERROR)
PING_NS = 15 * fakes.SECOND


class SeededDraw:
    """Draws what the seed says."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def uniform(self) -> float:
        return self._random.random()

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


class Life:
    """A pipeline over a ledger on a disk, and the calls that it serves."""

    def __init__(self, disk: Disk, clock: fakes.FakeClock, provider: Provider) -> None:
        self.disk = disk
        self.clock = clock
        self.provider = provider
        self.telemetry = fakes.RecordingTelemetry()
        self.calls: dict[str, Call] = {}
        self.serving: dict[str, asyncio.Task[None]] = {}
        self.tasks = Tasks()
        self.ledger: SpiedLedger
        self.pipeline: Pipeline
        self.breakers: Breakers
        self.failures: list[str] = []
        self.unkept: set[int] = set()
        """Settlements that were in memory only when it died: the journal had no room for them."""

    async def begin(
        self, scenario: Scenario, model: Model, asked: dict[str, Asked], durability: Durability, *, stepped: bool
    ) -> None:
        ledger = await open_sqlite_ledger(
            self.disk.url,
            durability=durability,
            clock=self.clock,
            telemetry=self.telemetry,
            tasks=cast(Any, self.tasks),
        )
        ledger.set_budgets(model.budgets.values())
        self.ledger = SpiedLedger(ledger, model, asked, self.provider, self.calls)
        self.disk.open_freely = not stepped
        draw = SeededDraw(scenario.seed)
        self.breakers = Breakers(uniform=draw.uniform, changed=self.telemetry.breaker_changed)
        self.breakers.follow(
            scenario.snapshot.breaker, [one for model in scenario.snapshot.models.values() for one in model.deployments]
        )
        self.pipeline = Pipeline(
            clock=self.clock,
            draw=draw,
            ledger=self.ledger,
            telemetry=self.telemetry,
            upstreams=self.provider,
            snapshots=fakes.FixedSnapshots(scenario.snapshot),
            breakers=self.breakers,
        )
        if scenario.learned is not None:
            for subject in (*AGENTS, *KEYS):
                kind = class_of("small", subject, 64)
                for _ in range(SAMPLES_MIN):
                    self.pipeline.gate._estimates.learn(kind, scenario.learned)

    def start(self, asked: Asked) -> None:
        request = read_request(CHAT, asked.body.encode())
        assert isinstance(request, Request), request
        self.provider.inputs[asked.name] = asked.input
        call = self.pipeline.call(
            request,
            principal=asked.who,
            metadata=Metadata(labels=asked.labels),
            request_id=asked.name,
            route="chat",
            arrived=self.clock.monotonic_ns(),
        )
        task = self.serving[asked.name] = asyncio.get_running_loop().create_task(self._serve(call))
        task.add_done_callback(lambda _: self.serving.pop(asked.name))

    def leave(self, name: str) -> None:
        """Have the caller leave: its task is cancelled wherever it waits."""
        self.serving[name].cancel()

    async def kill(self) -> None:
        """Stop dead. The files were copied before, so what the clean-up of this process writes is nobody's."""
        ledger = self.ledger.real
        self.ledger.dead = True
        waiting = [ledger._batch, *([] if ledger._sealed is None else [ledger._sealed])]
        self.unkept = {call_id for batch in waiting if batch.unkept for call_id in batch.group.settlements}
        for task in self.serving.values():
            task.cancel()
        self.tasks.kill()
        await ledger._held.aclose()

    async def _serve(self, call: Call) -> None:
        self.calls[call.request_id] = call  # one that is left before its first step never was one
        try:
            with self.pipeline.open(call, ping_ns=PING_NS) as reply:
                last = EventKind.COMMENT
                while last not in LAST:
                    batch = await reply.read()
                    last = batch[-1].kind
                    if any(event.kind in SHOWN for event in batch):
                        self.provider.shown.add(call.request_id)
                if (call.outcome is Outcome.COMPLETED) is (last is EventKind.ERROR):
                    self.failures.append(f"{call.request_id} is {call.outcome}, and its reply ended with {last}")
        except RouterError:
            pass
        except Exception as exc:  # noqa: BLE001 - whatever it is, the run reports it
            self.failures.append(f"{call.request_id}: {exc!r}")
