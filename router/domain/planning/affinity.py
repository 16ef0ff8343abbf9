"""Keep a conversation at the deployment that served it last, where its prompt cache is warm, without piling up there.

A conversation is known by the key or session that its caller names, else by its beginning: tools, system prompt and
first user message. Calls that open a conversation may all begin alike, so an opening that nobody named is placed by the
strategy like any other call, and only remembered. Where a process remembers nothing, after a restart or because another
process served the last turn, the conversation's own draw decides (`ranking.py`): all processes make the same of it.

Affinity chooses among the candidates it is given. What must not serve, such as one whose breaker is open, is not there.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from math import ceil
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec import Raw

from router.domain.catalog import Deployment, Strategy
from router.domain.dialects.request import Request
from router.domain.ids import TargetId
from router.domain.planning.load import Loads
from router.domain.planning.opening import opening_of

PINS_MAX: Final = 32_768
"""Conversations remembered: 8 MB at most. The one that was silent for longest goes first."""
BOUND: Final = 1.25
"""A new conversation goes where no more than so many times the fair share of them are (Mirrokni et al. 2018)."""
BUSY: Final = 2.0
BUSY_CALLS: Final = 4
"""A conversation leaves a target with more than twice its fair share of the calls under way, and four."""

_EXPECTED_TTFT: Final = Strategy.EXPECTED_TTFT  # a member costs more to look up than all that is decided by it
_BALANCED: Final = frozenset({Strategy.WEIGHTED, Strategy.LEAST_BUSY})
"""Strategies that spread conversations by weight. The others have reasons of their own for a place."""
_ENDS_BYTES: Final = 1_024
"""What is known of a longer text: its beginning and its end of so many bytes each, and how long it is."""
_PARTS: Final = frozenset(("tools", "system", "instructions"))
_NO_TURNS: Final = Raw(b"[]")


class Conversation(msgspec.Struct, frozen=True, gc=False):
    key: int
    """64 bits, of this process alone."""
    opening: bool = False
    """Known by its beginning alone, and nothing was answered yet: others may begin alike."""
    draw: float = 0.0
    """A number in [0, 1) that is this conversation's own in every process. An opening has none."""


_name: Final = msgspec.json.Decoder(str)


def conversation_of(subject: str, model: str, request: Request, session: str | None = None) -> Conversation | None:
    """Tell which conversation a request belongs to; None if it has no user message or cannot be read.

    `subject` is whose it is, such as the key: conversations of two callers are never one. `prompt_cache_key` goes
    before `session`, a name from the call's headers.
    """
    fields = request.fields
    named = (_text(fields["prompt_cache_key"]) if "prompt_cache_key" in fields else "") or session
    if named:
        text = named.encode("utf-8", "surrogatepass")
        return Conversation(hash((subject, model, text)), draw=_draw(subject, model, text))
    if not request.grammar.turns:
        return None
    found = opening_of(fields.get(request.grammar.content, _NO_TURNS))
    if found is None:
        return None
    opening, answered = found
    known = _ends(opening)
    parts = () if _PARTS.isdisjoint(fields) else _known(fields)
    key = hash((subject, model, len(opening), known, parts))
    return Conversation(key, draw=_draw(subject, model, known)) if answered else Conversation(key, opening=True)


class _Pin(NamedTuple):
    target: TargetId
    used_at: int


class Affinities:
    """Where conversations are. Times are monotonic nanoseconds; `ttl_ns` is that of the configuration in force."""

    __slots__ = ("_count", "_pins", "_pins_max")

    def __init__(self, pins_max: int = PINS_MAX) -> None:
        self._pins_max = pins_max
        self._pins: OrderedDict[int, _Pin] = OrderedDict()
        self._count: Counter[TargetId] = Counter()

    def __len__(self) -> int:
        return len(self._pins)

    def find(self, conversation: Conversation, now: int, ttl_ns: int) -> TargetId | None:
        """Return where the conversation is; None if nowhere, silent for too long, or only just opened."""
        return None if conversation.opening else self._find(conversation.key, now, ttl_ns)

    def _find(self, key: int, now: int, ttl_ns: int) -> TargetId | None:
        pin = self._pins.get(key)
        return pin.target if pin is not None and now - pin.used_at < ttl_ns else None

    def draw(self, conversation: Conversation, draw: float) -> float:
        """Return what to rank by: an opening's own draw may be that of many others."""
        return draw if conversation.opening else conversation.draw

    def prefer(
        self,
        strategy: Strategy,
        ranked: Sequence[Deployment],
        conversation: Conversation,
        loads: Loads,
        *,
        now: int,
        ttl_ns: int,
    ) -> Sequence[Deployment]:
        """Put first where the conversation is or, when it is new, where there is room for it. Nothing is remembered.

        `expected_ttft` was told where it is and weighed that, so its order is left alone.
        """
        if len(ranked) < 2 or strategy is _EXPECTED_TTFT:
            return ranked
        target = self._find(conversation.key, now, ttl_ns)
        if conversation.opening and target is not None:
            return ranked  # others began alike: this may be no conversation at all
        for at, deployment in enumerate(ranked):
            if deployment.target == target:
                return ranked if _too_busy(deployment, ranked, loads) else _first(at, ranked)
        if strategy not in _BALANCED:
            return ranked
        self._expire(now, ttl_ns)  # those take no room any more
        return _first(self._with_room(_tier_of(ranked[0], ranked)), ranked)

    def pin(self, conversation: Conversation, target: TargetId, *, now: int, ttl_ns: int) -> None:
        """Remember where a call goes when it is dispatched, and again when it goes elsewhere because that failed.

        An opening does not move others that began alike.
        """
        self._expire(now, ttl_ns)
        pins, key = self._pins, conversation.key
        pin = pins.get(key)
        if pin is not None:
            if conversation.opening:
                return
            self._uncount(pin.target)
        elif len(pins) >= self._pins_max:
            self._uncount(pins.popitem(last=False)[1].target)
        pins[key] = _Pin(target, now)
        pins.move_to_end(key)
        self._count[target] += 1

    def keep(self, targets: Collection[TargetId]) -> None:
        """Forget the conversations at all other targets, at a reload."""
        for key in [key for key, pin in self._pins.items() if pin.target not in targets]:
            self._uncount(self._pins.pop(key).target)

    def _expire(self, now: int, ttl_ns: int) -> None:
        """Forget those silent for too long. They are in the order of their last use."""
        pins = self._pins
        while pins:
            key = next(iter(pins))
            if now - pins[key].used_at < ttl_ns:
                return
            self._uncount(pins.pop(key).target)

    def _uncount(self, target: TargetId) -> None:
        self._count[target] -= 1
        if not self._count[target]:
            del self._count[target]

    def _with_room(self, ranked: Sequence[Deployment]) -> int:
        """Return the place of the first that has less than its bound; the bounds add up to more than there are."""
        count = self._count
        here = sum([count[each.target] for each in ranked]) + 1
        share = BOUND * here / (sum([each.weight for each in ranked]) or 1)
        for at, each in enumerate(ranked):
            if count[each.target] < ceil(share * each.weight):
                return at
        return 0


def _tier_of(one: Deployment, ranked: Sequence[Deployment]) -> Sequence[Deployment]:
    """Return those that share calls with it: the tiers after the first are for when that cannot serve."""
    return [each for each in ranked if each.tier == one.tier]


def _too_busy(deployment: Deployment, ranked: Sequence[Deployment], loads: Loads) -> bool:
    if not deployment.weight:
        return True  # it is being emptied
    outstanding = loads[deployment.target].outstanding
    if outstanding <= BUSY_CALLS:
        return False
    tier = _tier_of(deployment, ranked)
    weight = sum([each.weight for each in tier])
    share = sum([loads[each.target].outstanding for each in tier]) * deployment.weight / weight
    return outstanding > BUSY * share + BUSY_CALLS


def _first(at: int, ranked: Sequence[Deployment]) -> Sequence[Deployment]:
    return ranked if at == 0 else [ranked[at], *ranked[:at], *ranked[at + 1 :]]


def _draw(subject: str, model: str, text: bytes) -> float:
    return crc32(text, crc32(f"{subject} {model}".encode())) / (1 << 32)


def _ends(part: bytes) -> bytes:
    return part if len(part) <= 2 * _ENDS_BYTES else part[:_ENDS_BYTES] + part[-_ENDS_BYTES:]


def _known(fields: Mapping[str, Raw]) -> tuple[tuple[str, int, bytes], ...]:
    """Return what is known of the parts beside the messages."""
    return tuple([(name, len(fields[name]), _ends(bytes(fields[name]))) for name in _PARTS if name in fields])


def _text(raw: Raw) -> str:
    try:
        return _name.decode(raw)
    except msgspec.DecodeError:
        return ""
