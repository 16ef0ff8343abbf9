"""Read what a caller says about a call beside its body: metadata, the message's context, the deadline, the address."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

import msgspec
from checkrein.v1.common_pb2 import CallContext

from router.domain.faults import Fault, Refusal
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.metadata import SPELLINGS, Metadata, read_metadata

Pairs = list[tuple[bytes, bytes]]

_HEADER_OF: Final = {
    "workflow_id": SPELLINGS["workflow"],
    "parent_call_id": SPELLINGS["parent-call"],
    "agent": SPELLINGS["agent"],
    "user": SPELLINGS["user"],
    "priority": SPELLINGS["priority"],
}
_KNOWN: Final = {name.decode(): name for names in SPELLINGS.values() for name in names}
_TAGS: Final = SPELLINGS["tags"]
_ANSWER_NS: Final = 10 * NS_PER_MS
"""How long before its caller's deadline a call has to end, so that its status is there in time."""
_DEADLINE_S_MAX: Final = 86_400
"""A longer one, as some clients set for none, is none."""


def pairs_of(metadata: Sequence[tuple[str, str | bytes]]) -> Pairs:
    """Return metadata as the headers of a request are: names in lower case, values as bytes."""
    return [(name.encode(), _encoded(value)) for name, value in metadata]


def known_of(metadata: Sequence[tuple[str, str | bytes]]) -> Pairs:
    """Return those of which something is read here, which are few."""
    return [(_KNOWN[name], _encoded(value)) for name, value in metadata if name in _KNOWN]


def _encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def read_inbound(pairs: Pairs, context: CallContext | None, time_remaining_s: float | None) -> Metadata | Refusal:
    """Read all that is said of a call. What the context says wins over the metadata, and the deadline is gRPC's own."""
    if context is not None:
        said = _said(context)
        if isinstance(said, Refusal):
            return said
        if said:
            named = {spelling for spellings, _ in said for spelling in spellings}
            pairs = [pair for pair in pairs if pair[0] not in named]
            pairs += [(spellings[0], value) for spellings, value in said]
    metadata = read_metadata(pairs)
    if isinstance(metadata, Refusal) or time_remaining_s is None or time_remaining_s > _DEADLINE_S_MAX:
        return metadata
    left_ns = int(time_remaining_s * NS_PER_S)
    left_ns = max(1, left_ns - min(_ANSWER_NS, left_ns // 2))
    if metadata.timeout_ns is not None:
        left_ns = min(left_ns, metadata.timeout_ns)
    return msgspec.structs.replace(metadata, timeout_ns=left_ns)


def _said(context: CallContext) -> list[tuple[tuple[bytes, ...], bytes]] | Refusal:
    """Return what a context says, each under the names that a header of the same has."""
    said = [
        (spellings, getattr(context, name).encode()) for name, spellings in _HEADER_OF.items() if context.HasField(name)
    ]
    if context.tags:
        if any("," in tag for tag in context.tags):
            message = "A label in `context.tags` must not have a comma. Send each label apart."
            return Refusal(fault=Fault.INVALID_REQUEST, message=message, param="context.tags")
        said.append((_TAGS, ",".join(context.tags).encode()))
    return said


def is_local(peer: str) -> bool:
    """Tell whether a peer, as gRPC names it, is on this machine: `ipv4:127.0.0.1:5`, `ipv6:%5B::1%5D:5`, `unix:`."""
    kind, _, address = peer.partition(":")
    return kind == "unix" or (kind in {"ipv4", "ipv6"} and _is_loopback(address.rpartition(":")[0]))


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        return ip_address(unquote(host).strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False
