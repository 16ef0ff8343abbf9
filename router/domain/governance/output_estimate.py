"""Estimate how many tokens a reply will take from what replies of its class took, and when to reserve more.

Split conformal prediction (Vovk et al. 2005): of n past outputs and one to come, all equally likely to rank anywhere,
the next is above the one at rank ceil((n + 1) * q) with a chance of at most 1 - q, whatever their distribution. The
estimate only decides how often a reply must be extended while it streams; what is reserved stays a hard limit.

A class that has seen too few replies borrows from all replies of its model and subject, whatever the input's size:
together they know enough soon, where a size that comes seldom would reserve the maximum for long.
"""

from array import array
from bisect import bisect_left, insort
from collections import OrderedDict
from typing import Final, NamedTuple

SAMPLES_MAX: Final = 1_000
"""Outputs remembered of a class; the oldest goes first. 8 KB."""
SAMPLES_MIN: Final = 100
"""With fewer the rank is above all that were seen, and says nothing."""
CLASSES_MAX: Final = 2_048
"""Classes remembered, with those of any size: 16 MB at most; the one that learned nothing for longest goes first."""
ESTIMATE_TOKENS_MIN: Final = 16
OUTPUT_TOKENS_MAX: Final = (1 << 32) - 1
"""What is remembered of one output at most: it fits four bytes."""

TOP_UP_TOKENS: Final = 256
TOP_UP_MARGIN_TOKENS: Final = 64
"""How near to its reservation a stream comes before more is reserved."""


class OutputClass(NamedTuple):
    """Calls whose replies are expected to be alike."""

    model: str
    subject: str
    """The agent that calls or, when it is not known, the key."""
    magnitude: int
    """floor(log2 of the input tokens)."""


ANY_MAGNITUDE: Final = -1
"""In the place of the magnitude: calls of one model and subject, whatever the size of their input."""


def class_of(model: str, subject: str, input_tokens: int) -> OutputClass:
    return OutputClass(model, subject, max(input_tokens, 1).bit_length() - 1)


class _Samples:
    """The last outputs of one class, by size and, as a ring, by age. `recent[oldest]` goes next once it is full."""

    __slots__ = ("oldest", "ordered", "recent")

    def __init__(self) -> None:
        self.ordered = array("I")
        self.recent = array("I")
        self.oldest = 0

    def add(self, output: int) -> None:
        ordered, recent = self.ordered, self.recent
        if len(recent) < SAMPLES_MAX:
            recent.append(output)
        else:
            at = self.oldest
            del ordered[bisect_left(ordered, recent[at])]
            recent[at] = output
            self.oldest = (at + 1) % SAMPLES_MAX
        insort(ordered, output)


class OutputEstimates:
    """What replies took, by class."""

    __slots__ = ("_classes", "_percent")

    def __init__(self, percent: int = 99) -> None:
        assert 1 <= percent <= 99
        self._percent = percent
        # Keys are classes: a plain tuple is as good a key as the class that it equals, and quicker made.
        self._classes: OrderedDict[tuple[str, str, int], _Samples] = OrderedDict()

    def __len__(self) -> int:
        return len(self._classes)

    def estimate(self, of: OutputClass) -> int | None:
        """Return the tokens to reserve, at least 16; None while too little is known: then only a maximum is safe."""
        samples = self._classes.get(of)
        if samples is None or len(samples.ordered) < SAMPLES_MIN:
            samples = self._classes.get((of[0], of[1], ANY_MAGNITUDE))
            if samples is None or len(samples.ordered) < SAMPLES_MIN:
                return None
        ordered = samples.ordered
        rank = -(-(len(ordered) + 1) * self._percent // 100)  # at most their number, as there are at least 100
        output = ordered[rank - 1]
        return output if output > ESTIMATE_TOKENS_MIN else ESTIMATE_TOKENS_MIN

    def learn(self, of: OutputClass, output: int) -> None:
        """Remember what one reply took. A reply cut by us says nothing of its class: do not teach it."""
        if output > OUTPUT_TOKENS_MAX:
            output = OUTPUT_TOKENS_MAX
        classes = self._classes
        # That of any size comes last, so that no size which borrows from it outlives it.
        for key in (of, (of[0], of[1], ANY_MAGNITUDE)):
            samples = classes.get(key)
            if samples is None:
                if len(classes) == CLASSES_MAX:
                    classes.popitem(last=False)
                samples = classes[key] = _Samples()
            else:
                classes.move_to_end(key)
            samples.add(output)


def top_up(used: int, reserved: int, max_tokens: int) -> int:
    """Return by how many output tokens to extend a stream's reservation now: 0, or blocks of 256 up to `max_tokens`.

    One block does unless a single event brought more than a block, so that afterwards the margin is there again.
    """
    missing = used + TOP_UP_MARGIN_TOKENS - reserved
    if missing <= 0 or reserved >= max_tokens:
        return 0
    return min(-(-missing // TOP_UP_TOKENS) * TOP_UP_TOKENS, max_tokens - reserved)
