"""Guess how much of a prompt each target still holds in its prompt cache, from the prompts that were sent there.

A prompt is cut into blocks, and each block is named by a checksum of all text up to its end: equal names mean equal
beginnings. Of each target the blocks it saw last are remembered. When a prompt is remembered, its first block is the
last to be touched; so what is known of a prompt is always a beginning of it, and a binary search finds its end.

The names are 32 bits: a chance collision (one in 500,000 looks, with a full index) costs one badly placed call.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from typing import Final
from zlib import crc32

from router.domain.ids import TargetId
from router.domain.instants import NS_PER_S

BLOCK_BYTES: Final = 2_048
BLOCK_TOKENS: Final = 512
"""What a block of text is taken to have."""
CHAIN_BLOCKS_MAX: Final = 1_024
"""Of a longer prompt only the first 2 MB are told apart."""
BLOCKS_MAX: Final = 2_000
"""Remembered of a target, a million tokens: about 0.4 MB. To hope for more than it keeps costs more than for less."""
CACHE_TTL_NS: Final = 300 * NS_PER_S
"""How long providers keep what is not used: 5 minutes at most of them."""

Chain = Sequence[int]
"""The names of a prompt's whole blocks, first to last. What is left over at its end has none."""


def chain_of(parts: Iterable[bytes]) -> Chain:
    """Name the blocks of a prompt: its model, its tools and its messages, in the order in which providers read them.

    Give `messages` without its closing bracket, so that the next turn continues this text.
    """
    text = b"\n".join(parts)
    end = min(len(text) // BLOCK_BYTES, CHAIN_BLOCKS_MAX) * BLOCK_BYTES
    name, chain = 0, []
    for at in range(0, end, BLOCK_BYTES):
        name = crc32(text[at : at + BLOCK_BYTES], name)
        chain.append(name)
    return chain


class Prefixes:
    """What targets were sent lately. State is bounded for each target, and targets are those configured."""

    __slots__ = ("_blocks_max", "_targets", "_ttl_ns")

    def __init__(self, blocks_max: int = BLOCKS_MAX, ttl_ns: int = CACHE_TTL_NS) -> None:
        self._blocks_max, self._ttl_ns = blocks_max, ttl_ns
        self._targets: dict[TargetId, OrderedDict[int, int]] = {}

    def cached_tokens(self, target: TargetId, chain: Chain, now: int) -> int:
        """Return how many tokens at the beginning of a prompt the target has probably read before."""
        seen = self._targets.get(target)
        if seen is None or not chain:
            return 0
        since = now - self._ttl_ns
        low, high = 0, len(chain)
        while low < high:
            middle = (low + high) // 2
            if seen.get(chain[middle], since) > since:
                low = middle + 1
            else:
                high = middle
        return low * BLOCK_TOKENS

    def uncached_tokens(self, target: TargetId, chain: Chain, input_tokens: int, now: int) -> int:
        """Return how much of a prompt the target has probably yet to read."""
        left = input_tokens - self.cached_tokens(target, chain, now)
        return left if left > 0 else 0

    def sent(self, target: TargetId, chain: Chain, now: int) -> None:
        """Remember a prompt that is dispatched now. What was sent longest ago goes first."""
        seen = self._targets.get(target)
        if seen is None:
            seen = self._targets[target] = OrderedDict()
        for name in reversed(chain):
            seen[name] = now
            seen.move_to_end(name)
        while len(seen) > self._blocks_max:
            seen.popitem(last=False)

    def forget(self, target: TargetId) -> None:
        """The target's cache is gone, as after an outage."""
        self._targets.pop(target, None)

    def keep(self, targets: Collection[TargetId]) -> None:
        """Forget all other targets, at a reload."""
        for target in self._targets.keys() - set(targets):
            del self._targets[target]
