"""Find out whether the answer is already here or on its way. There is no cache yet; all calls miss."""

from enum import Enum

from router.pipeline.call import Call


class Lookup(Enum):
    MISS = "miss"


def lookup(_call: Call) -> Lookup:
    return Lookup.MISS
