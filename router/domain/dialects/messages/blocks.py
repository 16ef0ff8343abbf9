"""Decide in which order the blocks of a Messages stream are said, while their pieces come in any order.

The first block of the queue is said as its pieces come; the others wait. A text or a thought is over when something
else comes. A tool call is over when its arguments are a whole object at that moment, which is looked at once, so that
the work stays linear; what then still comes for it can only be white space, and is left out. If they are not whole, the
provider mixes its calls, and all that comes later waits for the end. So pieces never change places within a block.

Tool calls are told apart as well as their providers let us: by index, by a new id with a name at a used index, by id
where the index is new and no name comes with it. A call without an id gets one.
"""

from collections import deque
from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.raw_json import NO_TEXT, UNREADABLE, encode, joined, unquoted_object

_text: Final = msgspec.json.Decoder(str)


class _Kind(IntEnum):
    TEXT = 0
    THOUGHT = 1
    REDACTED = 2
    CALL = 3


class _Block:
    """One block: said up to now, waiting, or both."""

    __slots__ = ("at", "call_id", "kind", "name", "number", "pieces", "proof", "sealed", "thought")

    def __init__(self, kind: _Kind) -> None:
        self.kind = kind
        self.at: int | None = None
        """Its place in the reply, once it has begun."""
        self.pieces: list[Raw] = []
        """Of a tool call all, of another block those that wait."""
        self.proof: Raw | None = None
        """The signature of a thought that waits."""
        self.sealed = False
        """A thought that has its signature: the next one is another."""
        self.thought: int | None = None
        self.call_id: Raw | None = None
        self.name: Raw | None = None
        self.number = 0


class Blocks:
    """The blocks of one reply."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_last_call", "_next", "_queue", "_reply_id", "_written")

    def __init__(self, reply_id: str) -> None:
        self._reply_id = reply_id
        self._queue: deque[_Block] = deque()
        self._by_index: dict[int, _Block] = {}
        self._by_id: dict[bytes, _Block] = {}
        self._last_call: _Block | None = None
        self._calls = 0
        self._next = 0
        self._written: list[tuple[bytes, bytes]] = []

    @property
    def has_calls(self) -> bool:
        return self._calls > 0

    def written(self) -> list[tuple[bytes, bytes]]:
        """Take the names and members of the events that are due."""
        written, self._written = self._written, []
        return written

    def made_up_id(self, number: int) -> Raw:
        """Return the id of a call whose provider gave it none."""
        return encode(f"toolu_{self._reply_id}_{number}")

    def text(self, piece: Raw) -> None:
        last = self._queue[-1] if self._queue else None
        if last is None or last.kind is not _Kind.TEXT:
            last = self._add(_Block(_Kind.TEXT))
        self._piece(last, piece)

    def thought(self, index: int | None, piece: Raw | None, signature: Raw | None) -> None:
        """`index` tells thoughts apart where the provider counts them."""
        last = self._queue[-1] if self._queue else None
        if last is None or last.kind is not _Kind.THOUGHT or last.sealed or last.thought != index:
            last = _Block(_Kind.THOUGHT)
            last.thought = index
            self._add(last)
        if piece is not None:
            self._piece(last, piece)
        if signature is not None:
            last.sealed = True
            if last.at is None:
                last.proof = signature
            else:
                self._delta(last, b"signature_delta", b"signature", signature)

    def redacted(self, data: Raw) -> None:
        block = _Block(_Kind.REDACTED)
        block.pieces.append(data)
        self._add(block)

    def call(self, index: int | None, call_id: Raw | None, name: Raw | None, arguments: Raw | None) -> None:
        block = self._call_of(index, call_id, name)
        if block is None:
            block = _Block(_Kind.CALL)
            block.number = self._calls
            block.call_id, block.name = call_id, name
            self._calls += 1
            if index is None:
                self._by_index.setdefault(block.number, block)  # some number their calls later
            self._add(block)
        elif block.at is None:
            block.call_id = block.call_id or call_id
            block.name = block.name or name
            self._advance()
        if index is not None:
            self._by_index[index] = block
        if call_id is not None:
            self._by_id[bytes(call_id)] = block
        self._last_call = block
        if arguments is not None:
            self._piece(block, arguments)

    def close(self) -> None:
        """Say all that waits, and end it."""
        while self._queue:
            self._begin(self._queue[0])
            self._finish_first()

    def _call_of(self, index: int | None, call_id: Raw | None, name: Raw | None) -> _Block | None:
        """Find the call that a piece belongs to; None if it begins another."""
        known = None if index is None else self._by_index.get(index)
        if known is not None:
            other = call_id is not None and name is not None and known.call_id is not None and call_id != known.call_id
            return None if other else known
        if call_id is not None:
            return self._by_id.get(bytes(call_id)) if name is None or index is None else None
        return self._last_call if name is None else None

    def _add(self, block: _Block) -> _Block:
        if len(self._queue) == 1:  # so each is looked at once
            first = self._queue[0]
            if first.at is not None and _is_over(first):
                self._finish_first()
        self._queue.append(block)
        self._advance()
        return block

    def _advance(self) -> None:
        """Begin the first block if it can be; a tool call needs its name."""
        first = self._queue[0]
        if first.at is None and (first.kind is not _Kind.CALL or first.name is not None):
            self._begin(first)

    def _piece(self, block: _Block, piece: Raw) -> None:
        if block.kind is _Kind.CALL:
            block.pieces.append(piece)
            if block.at is not None and self._queue and self._queue[0] is block:
                self._delta(block, b"input_json_delta", b"partial_json", piece)
        elif block.at is None:
            block.pieces.append(piece)
        elif block.kind is _Kind.TEXT:
            self._delta(block, b"text_delta", b"text", piece)
        else:
            self._delta(block, b"thinking_delta", b"thinking", piece)

    def _begin(self, block: _Block) -> None:
        """Say that a block begins, and all of it that is there."""
        if block.at is not None:
            return
        block.at = self._next
        self._next += 1
        if block.kind is _Kind.CALL:
            content = b'{"type":"tool_use","id":%b,"name":%b,"input":{}}' % (
                block.call_id or self.made_up_id(block.number),
                block.name or NO_TEXT,
            )
        elif block.kind is _Kind.REDACTED:
            content = b'{"type":"redacted_thinking","data":%b}' % block.pieces[0]
        elif block.kind is _Kind.TEXT:
            content = b'{"type":"text","text":""}'
        else:
            content = b'{"type":"thinking","thinking":"","signature":""}'
        self._written.append((b"content_block_start", b'"index":%d,"content_block":%b' % (block.at, content)))
        if block.kind is _Kind.REDACTED or not block.pieces:
            pass
        elif block.kind is _Kind.CALL:
            self._delta(block, b"input_json_delta", b"partial_json", joined(block.pieces))
        else:
            waiting, block.pieces = block.pieces, []
            self._piece(block, joined(waiting))
        if block.proof is not None:
            self._delta(block, b"signature_delta", b"signature", block.proof)

    def _finish_first(self) -> None:
        block = self._queue.popleft()
        self._written.append((b"content_block_stop", b'"index":%d' % (block.at or 0)))

    def _delta(self, block: _Block, kind: bytes, member: bytes, value: Raw) -> None:
        delta = b'"index":%d,"delta":{"type":"%b","%b":%b}' % (block.at or 0, kind, member, value)
        self._written.append((b"content_block_delta", delta))


def _is_over(block: _Block) -> bool:
    """Tell whether the first block has all its pieces now that something else has come."""
    if block.kind is not _Kind.CALL:
        return True
    if not block.pieces:
        return False
    try:
        text = _text.decode(joined(block.pieces))
    except UNREADABLE:
        return False
    return unquoted_object(text) is not None
