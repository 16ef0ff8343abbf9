"""Give every call an id that sorts by time, fits an SQL integer and needs no second index."""

import re
from typing import Final, NewType

CallId = NewType("CallId", int)
KeyId = NewType("KeyId", str)
ProviderId = NewType("ProviderId", str)
DeploymentId = NewType("DeploymentId", str)
TargetId = NewType("TargetId", str)
"""A deployment and the credential it is reached with."""
ModelName = NewType("ModelName", str)
Epoch = NewType("Epoch", int)
"""One start of one process, numbered by the ledger."""

_ORIGIN_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_EPOCH_BITS: Final = 8
_SEQUENCE_BITS: Final = 14
_FORMATTED: Final = re.compile("call_([0-7][0-9a-f]{15})")  # 63 bits: what an SQL integer holds


class CallIds:
    """Number the calls of one process: 41 bits of milliseconds, 8 of the boot epoch, 14 of sequence.

    Strictly increasing even when the wall clock steps back. Live processes hold different epochs
    (the ledger hands them out one by one), so ids of up to 256 processes never collide.
    """

    __slots__ = ("_epoch_bits", "_last")

    def __init__(self, epoch: Epoch) -> None:
        self._epoch_bits = (epoch % (1 << _EPOCH_BITS)) << _SEQUENCE_BITS
        self._last = 0

    def take(self, wall_ns: int) -> CallId:
        slot = (wall_ns // 1_000_000 - _ORIGIN_MS) << _SEQUENCE_BITS
        last = self._last = max(slot, self._last + 1)
        low = last & ((1 << _SEQUENCE_BITS) - 1)
        return CallId(((last >> _SEQUENCE_BITS) << (_EPOCH_BITS + _SEQUENCE_BITS)) | self._epoch_bits | low)


def first_call_id(wall_ns: int) -> CallId:
    """The least id that a call of this moment may have; later calls have larger ones."""
    return CallId(max(wall_ns // 1_000_000 - _ORIGIN_MS, 0) << (_EPOCH_BITS + _SEQUENCE_BITS))


def format_call_id(call_id: CallId) -> str:
    return f"call_{call_id:016x}"


def parse_call_id(text: str) -> CallId | None:
    """Read what `format_call_id` wrote; None for anything else."""
    match = _FORMATTED.fullmatch(text)
    return None if match is None else CallId(int(match[1], 16))


def target_of(deployment: DeploymentId, credential: str) -> TargetId:
    return TargetId(f"{deployment}#{credential}" if credential else deployment)
