"""Count what providers are paid for beside tokens: images, characters, sound and searches."""

from typing import Final

import msgspec

PIECES_MAX: Final = 10**6
"""Images or searches: more than a call can have; with it no cost leaves the range of an SQL integer."""
UNITS_MAX: Final = 10**9
"""The same for characters, and for milliseconds of sound: 11 days."""


class Units(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Of one attempt, or the most that one can have."""

    images: int = 0
    image_quality: str | None = None
    image_size: str | None = None
    """As `1024x1024`. None: it may be any, and the dearest counts; empty: what nobody has said, so the usual one."""
    characters: int = 0
    audio_ms: int = 0
    queries: int = 0
    """Searches of a rerank, as its provider counts them."""


NO_UNITS: Final = Units()


def at_most(count: int, most: int = UNITS_MAX) -> int:
    """Bring what somebody says into the range of what a call can have."""
    return min(max(count, 0), most)
