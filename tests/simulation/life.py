"""One life of the router, from the opening of its store to a clean close or a `kill -9`."""

import asyncio
from typing import Any, cast

from router.adapters.ledger_sqlite import open_sqlite_ledger
from router.adapters.sql.sqlite_store import Durability
from router.domain.chat import ChatRequest, read_chat_request
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

LAST = (EventKind.COMPLETE, EventKind.END, EventKind.ERROR)
PING_NS = 15 * fakes.SECOND


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
        self.ledger = SpiedLedger(ledger, model, asked, self.provider)
        self.disk.open_freely = not stepped
        self.pipeline = Pipeline(
            clock=self.clock,
            draw=fakes.FakeDraw(),
            ledger=self.ledger,
            telemetry=self.telemetry,
            upstreams=self.provider,
            snapshots=fakes.FixedSnapshots(scenario.snapshot),
            breakers=fakes.breakers(),
        )
        if scenario.learned is not None:
            for subject in (*AGENTS, *KEYS):
                for _ in range(SAMPLES_MIN):
                    self.pipeline.gate._estimates.learn(class_of("small", subject, 64), scenario.learned)

    def start(self, asked: Asked) -> None:
        request = read_chat_request(asked.body.encode())
        assert isinstance(request, ChatRequest), request
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
                while (last := (await reply.read())[-1].kind) not in LAST:
                    pass
                if (call.outcome is Outcome.COMPLETED) is (last is EventKind.ERROR):
                    self.failures.append(f"{call.request_id} is {call.outcome}, and its reply ended with {last}")
        except RouterError:
            pass
        except Exception as exc:  # noqa: BLE001 - whatever it is, the run reports it
            self.failures.append(f"{call.request_id}: {exc!r}")
