"""Play one seed: draw a world and some tens of steps, and check the laws of money after every one of them."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random  # noqa: TID251 - a run is a function of its seed

import pytest

from router.adapters.sql.sqlite_store import StoreUnusable
from router.domain.faults import Fault, Refusal
from router.ports.ledger import LedgerUnavailable
from tests.simulation.audit import after_restart, at_the_end, while_it_runs
from tests.simulation.books import check_balances
from tests.simulation.life import Life
from tests.simulation.model import Broken, Model, law
from tests.simulation.provider import Provider, Served
from tests.simulation.scenario import Asked, draw_call, draw_limit, draw_scenario
from tests.simulation.store import Commit, Disk, VirtualLoop, seams
from tests.support.fakes import SECOND, FakeClock
from tests.support.waiting import turns

HALF_BYTES = (1_500, 3_000, 6_000, 24_000, 200_000)
"""Of the journal: a small one is often full."""
MEMORY = Path("/dev/shm")
"""Where files cost no disk; any other place does."""
ROUNDS_MAX = 200
"""In which everything must have ended."""
REST_NS = 25 * 3_600 * SECOND
"""After this every deployment may be asked again, whatever became of it."""
DRAINED = Refusal(fault=Fault.OVERLOADED, message="stopping, says the run")
SPANS_S = (0.06, 0.2, 0.6, 1.5, 3, 61, 61, 700, 3_600, 40_000)


class Failed(Exception):
    """A seed that breaks a law."""

    def __init__(self, seed: int, steps: list[str], why: BaseException) -> None:
        super().__init__(
            f"seed {seed} failed at step {len(steps)}: {why}\n"
            + "\n".join(f"  {number:3} {step}" for number, step in enumerate(steps, 1))
            + f"\nagain: python -m tests.simulation.replay {seed}"
        )
        self.seed = seed
        self.why = why


class Run:
    """The state of one seed."""

    def __init__(self, seed: int, folder: Path, clock: FakeClock) -> None:
        self.random = Random(seed)
        self.folder = folder
        self.clock = clock
        self.scenario = draw_scenario(self.random)
        self.provider = Provider(self.scenario.snapshot.retry)
        self.unreachable = self.random.choice((0.1, 0.4, 0.7))
        """Share of requests that get no reply at all."""
        self.model = Model(dict(self.scenario.snapshot.budgets))
        self.durability = self.random.choice(("process", "process", "process", "power"))
        self.asked: dict[str, Asked] = {}
        self.steps: list[str] = []
        (folder / "0").mkdir()
        self.disks = [Disk(folder / "0", half_bytes=self.random.choice(HALF_BYTES))]
        self.life = Life(self.disks[0], clock, self.provider)
        self.past: list[Life] = []
        self.failing = False
        self.kinds: dict[Callable[[], str], int] = {
            self._call: 7,
            self._answer: 10,
            self._feed: 12,
            self._finish: 5,
            self._break_off: self.random.choice((1, 3, 6)),
            self._leave: 3,
            self._drain: 1,
            self._pass: 5,
            self._commit: 8,
            self._budget: 2,
            self._disk: 1,
            self._read: 1,
        }

    @property
    def disk(self) -> Disk:
        return self.disks[-1]

    async def play(self) -> None:
        await self._begin()
        crashes = set(self.random.sample(range(60), self.random.choice((0, 0, 1, 1, 2))))
        for number in range(self.random.randint(20, 60)):
            if number in crashes:
                await self._crash()
            else:
                self._step()
            await turns(self.random.choice((0, 1, 2, 5, 12)))
            while_it_runs(self.life, self.model, self.clock.wall)
        await self._end()

    async def _begin(self) -> None:
        await self.life.begin(self.scenario, self.model, self.asked, self.durability, stepped=True)

    def _step(self) -> None:
        """Do something that can be done now."""
        said = ""
        while not said:
            step = self.random.choices(tuple(self.kinds), weights=tuple(self.kinds.values()))[0]
            said = step()
        self.steps.append(f"{step.__name__.strip('_')} {said}")

    def _call(self) -> str:
        asked = draw_call(self.random, self.scenario, len(self.asked))
        self.asked[asked.name] = asked
        self.life.start(asked)
        return f"{asked.name} of {asked.who.key_id} {'stream' if asked.stream else 'unary'}"

    def _opening(self) -> list[tuple[str, Served]]:
        return [(name, one) for name, one in self._mine() if not one.opening.done()]

    def _live(self) -> list[tuple[str, Served]]:
        return [(name, one) for name, one in self._mine() if one.live]

    def _mine(self) -> list[tuple[str, Served]]:
        return [(name, self.provider.served[name][-1]) for name in self.life.calls if name in self.provider.served]

    def _answer(self) -> str:
        opening = self._opening()
        if not opening:
            return ""
        name, served = self.random.choice(opening)
        where = f"{name} at {served.deployment.target}"
        if self.random.random() < self.unreachable:
            how = self.random.choice(self.random.choice(served.ways_to_fail))
            served.break_off(how)
            return f"{where}: {how}"
        served.answer()
        return where

    def _feed(self) -> str:
        streams = [(name, one) for name, one in self._live() if self.asked[name].stream]
        if not streams:
            return ""
        name, served = self.random.choice(streams)
        tokens = self.random.choice((1, 5, 20, 60, 150))
        if self.random.random() < 0.95:  # the rest does not care what it was told
            tokens = min(tokens, served.limit - served.produced)
        if tokens <= 0:
            return ""
        served.feed(tokens)
        return f"{name}: {tokens} tokens"

    def _finish(self) -> str:
        live = self._live()
        if not live:
            return ""
        name, served = self.random.choice(live)
        says = self.random.random() < 0.7
        if self.asked[name].stream:
            served.finish(says=says, together=self.random.random() < 0.5)
        else:
            tokens = self.random.randint(1, served.limit)
            served.reply(tokens if self.random.random() < 0.95 else served.limit + 50, says=says)
        return f"{name}: {served.produced} tokens, usage {says}"

    def _break_off(self) -> str:
        live = self._live()
        if not live:
            return ""
        name, served = self.random.choice(live)
        how = self.random.choice(self.random.choice(served.ways_to_fail))
        served.break_off(how)
        return f"{name}: {how}"

    def _leave(self) -> str:
        if not self.life.serving:
            return ""
        name = self.random.choice(list(self.life.serving))
        self.life.leave(name)
        return name

    def _drain(self) -> str:
        open_now = len(self.life.pipeline.open_calls)
        self.life.pipeline.interrupt_all(DRAINED)
        return f"{open_now} calls" if open_now else ""

    def _pass(self) -> str:
        span_s = self.random.choice(SPANS_S)
        self.clock.pass_ns(int(span_s * SECOND))
        return f"{span_s} s"

    def _commit(self) -> str:
        how = Commit.FAILED if self.failing else self.random.choice((Commit.DONE, Commit.DONE, Commit.UNHEARD))
        return how.name if self.disk.go_on(how) else ""

    def _disk(self) -> str:
        self.failing = not self.failing
        return "fails" if self.failing else "recovers"

    def _budget(self) -> str:
        if not self.model.budgets:
            return ""
        old = self.random.choice(list(self.model.budgets.values()))
        new = replace(old, limit=draw_limit(self.random, old.unit))
        self.model.replace(new)
        self.life.ledger.set_budgets([new])
        return f"{new.id}: {old.limit} -> {new.limit}"

    def _read(self) -> str:
        if not self.life.calls:
            return ""
        name = self.random.choice(list(self.life.calls))
        self.life.tasks.create_task(self._read_call(name))
        return name

    async def _read_call(self, name: str) -> None:
        with suppress(LedgerUnavailable):
            await self.life.ledger.read_call(self.life.calls[name].id)

    async def _crash(self) -> None:
        """Kill the router where it stands and start another on what the kernel kept."""
        old = self.life
        self.disks.append(self.disk.copy(self.folder / str(len(self.disks))))
        self.steps.append(f"crash with {len(old.serving)} calls open")
        await old.kill()
        self.past.append(old)
        await turns(3)
        check_balances(self.disk.path)
        if self.random.random() < 0.2:
            self.steps[-1] += ", and in the start after it"
            self.disk.dies_into = self.folder / str(len(self.disks))
            with pytest.raises(StoreUnusable):
                await self._restart()
            self.disks.append(Disk(self.disk.dies_into, half_bytes=self.disk.half_bytes))
        await self._restart()
        after_restart(old, self.life, self.model, self.provider)

    async def _restart(self) -> None:
        self.failing = False
        self.life = Life(self.disk, self.clock, self.provider)
        await self._begin()

    async def _end(self) -> None:
        """Let every call end and every row be written, close, and look at the books; then once more after a start."""
        self.failing = False
        self.steps.append("end")
        await self._settle_down()
        self.clock.pass_ns(REST_NS)
        self.steps.append(self._call())
        last = next(reversed(self.asked))
        await self._settle_down()
        refusal = self.life.calls[last].refusal
        law(
            refusal is None or refusal.fault is not Fault.OVERLOADED,
            f"all is written, and {last} is refused: {refusal}",
        )
        while_it_runs(self.life, self.model, self.clock.wall)
        at_the_end(self.life, self.model)
        self.disk.open_freely = True
        await self.life.ledger.close()
        check_balances(self.disk.path)
        ended = self.life
        self.past.append(ended)
        await self._restart()
        after_restart(ended, self.life, self.model, self.provider)
        while_it_runs(self.life, self.model, self.clock.wall)
        self.disk.open_freely = True
        await self.life.ledger.close()

    async def _settle_down(self) -> None:
        """Let every call end, and every row be written."""
        for _ in range(ROUNDS_MAX):
            for _, served in self._opening():
                served.answer()
            for name, served in self._live():
                if self.asked[name].stream:
                    served.finish(says=True, together=True)
                else:
                    served.reply(min(5, served.limit), says=True)
            self.disk.go_on(Commit.DONE)
            self.clock.pass_ns(SECOND)
            await turns(3)
            ledger = self.life.ledger.real
            if not self.life.serving and ledger._sealed is None and not ledger._batch:
                break


def play(seed: int) -> list[str]:
    """Play a seed and return its steps. Raises `Failed`."""
    clock = FakeClock()
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    steps: list[str] = []
    try:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            run = Run(seed, folder, clock)
            steps = run.steps
            with seams(lambda: run.disk):
                runner.run(run.play())
    except Exception as exc:
        if isinstance(exc, Broken) or steps:
            raise Failed(seed, steps, exc) from exc
        raise
    finally:
        shutil.rmtree(folder)
    return steps
