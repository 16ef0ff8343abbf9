"""Decide when Python's collector of circular garbage may hold everybody up: never for what lives as long as we do."""

import gc
from collections.abc import Callable
from threading import Lock
from typing import Final, ParamSpec, TypeVar

_THRESHOLD: Final = (10_000, 20, 50)
"""Requests make few cycles; memory growth is watched in the benchmark."""
LARGE: Final = 10_000
"""Objects made beside the loop from which on they are put out of the collector's sight."""

P = ParamSpec("P")
T = TypeVar("T")


def settle() -> None:
    """Take what start-up made out of the collector's sight, and let it run less often: 6 % of a request's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLD)


class Undisturbed:
    """Makes what lives long on another thread, without the collector walking over it while it grows.

    The collector holds all threads up: 150 ms for what 10,000 keys are compiled into. What is made is freed by its
    counts as ever. What else there is at that moment is frozen too: circles of it stay for good; requests make none.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running = 0

    def __call__(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `make`. For threads: calls may overlap."""
        with self._lock:
            self._running += 1
            gc.disable()
        try:
            return make(*args, **kwargs)
        finally:
            with self._lock:
                if gc.get_count()[0] >= LARGE:
                    gc.freeze()
                self._running -= 1
                if not self._running:
                    gc.enable()
