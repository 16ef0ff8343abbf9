"""Own the one copy of litellm in this process: imported late, in a thread, and only if a provider needs it.

The import takes seconds, so it never happens before the router listens, nor where nobody asked for it.
"""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Final, Protocol

import msgspec

BEGIN_S: Final = 0.25
"""From listening to the import: the first requests and probes come before it."""


class Acompletion(Protocol):
    """`litellm.acompletion`, or what stands in for it."""

    def __call__(self, **arguments: object) -> Awaitable[object]: ...


class Litellm(msgspec.Struct, frozen=True, kw_only=True):
    """What we use of litellm."""

    acompletion: Acompletion
    supported: Callable[[str], Sequence[str] | None]
    """The members of a chat request that the provider of a model can express; None: litellm does not know it."""
    direct: Mapping[str, Acompletion] = {}
    """For a provider by litellm's name, what stands in for `acompletion` because it costs less and does the same."""


class LitellmMissing(Exception):
    """litellm cannot be imported. `str()` continues a sentence that begins with the provider's name."""


class LitellmLibrary:
    """Imports once; who needs it waits. A wait that is cancelled leaves the import running."""

    def __init__(self, load: Callable[[], Litellm]) -> None:
        self._load = load
        self._loaded: Future[Litellm | LitellmMissing] | None = None
        self._wanted = False
        self._listening = False

    def want(self) -> None:
        """A provider is configured that needs it."""
        self._wanted = True
        if self._listening:
            self._begin()

    def listening(self) -> None:
        """The router takes calls: from here on an import delays nobody's start."""
        self._listening = True
        if self._wanted:
            self._begin()

    async def get(self) -> Litellm:
        """Wait for the import, and begin it if nothing else did. Raises `LitellmMissing`."""
        loaded = self._begin()
        if not loaded.done():
            await asyncio.wait([asyncio.wrap_future(loaded)])
        found = loaded.result()
        if isinstance(found, LitellmMissing):
            raise found
        return found

    def _begin(self) -> "Future[Litellm | LitellmMissing]":
        if self._loaded is None:
            self._loaded = Future()
            # A daemon: a process that stops meanwhile does not wait for it.
            threading.Thread(target=self._run, args=(self._loaded,), name="litellm-import", daemon=True).start()
        return self._loaded

    def _run(self, loaded: "Future[Litellm | LitellmMissing]") -> None:
        try:
            loaded.set_result(self._load())
        except BaseException as exc:  # so is a panic of a library in Rust, and who waits must be told
            words = f"cannot be asked, as litellm does not load ({type(exc).__name__}): install checkrein again"
            loaded.set_result(LitellmMissing(words))  # an exception of a future wants to be asked for by each


def load_litellm() -> Litellm:
    """Import it and make it keep to itself. Takes seconds."""
    collects = gc.isenabled()
    gc.disable()  # every full collection of what is being made stops all calls, 100 ms and more
    try:
        from router.adapters.upstreams.litellm_setup import set_up_litellm

        litellm = set_up_litellm()
        gc.freeze()
    finally:
        if collects:
            gc.enable()
    return litellm
