"""Write the output items of a Responses reply with the events in which they grow.

A text item has one part at a time, and a part ends when another kind begins. Item ids are made of the reply's id and
the item's place.
"""

from typing import Final, NamedTuple

from router.domain.dialects.responses.events import Script


class PartKind(NamedTuple):
    """How a kind of text is named in events and items."""

    type: bytes
    member: bytes
    event: bytes
    has_logprobs: bool = False


TEXT: Final = PartKind(b"output_text", b"text", b"response.output_text", has_logprobs=True)
REFUSAL: Final = PartKind(b"refusal", b"refusal", b"response.refusal")
THOUGHT: Final = PartKind(b"reasoning_text", b"text", b"response.reasoning_text")

COMPLETED: Final = b"completed"
INCOMPLETE: Final = b"incomplete"
_IN_PROGRESS: Final = b"in_progress"


class TextItem:
    """A message, or a thought, while it grows."""

    __slots__ = ("_id", "_index", "_kind", "_logprobs", "_parts", "_script", "_text", "thought")

    def __init__(self, *, thought: bool, index: int, base: bytes, script: Script) -> None:
        self.thought = thought
        self._script = script
        self._index = index
        self._id = b"%b_%b_%d" % (b"rs" if thought else b"msg", base, index)
        self._parts: list[bytes] = []
        self._kind: PartKind | None = None
        self._text = bytearray()
        self._logprobs = bytearray()
        script.say(b"response.output_item.added", b'"output_index":%d,"item":%b' % (index, self._written(_IN_PROGRESS)))

    def grow(self, kind: PartKind, body: bytes, logprobs: bytes) -> None:
        """Add text, and what is between the brackets of its `logprobs`."""
        if kind is not self._kind:
            self._end_part()
            self._kind = kind
            self._script.say(b"response.content_part.added", b'%b,"part":%b' % (self._where(), _part(kind, b"", b"")))
        self._text += body
        members = b'%b,"delta":"%b"' % (self._where(), body)
        if kind.has_logprobs:
            members = b'%b,"logprobs":[%b]' % (members, logprobs)
            if logprobs:
                self._logprobs += b"," + logprobs if self._logprobs else logprobs
        self._script.say(kind.event + b".delta", members)

    def end(self, status: bytes) -> bytes:
        """End the item and return it."""
        self._end_part()
        item = self._written(status)
        self._script.say(b"response.output_item.done", b'"output_index":%d,"item":%b' % (self._index, item))
        return item

    def _end_part(self) -> None:
        kind = self._kind
        if kind is None:
            return
        text, logprobs = bytes(self._text), bytes(self._logprobs)
        self._text, self._logprobs = bytearray(), bytearray()
        where = self._where()
        members = b'%b,"%b":"%b"' % (where, kind.member, text)
        if kind.has_logprobs:
            members = b'%b,"logprobs":[%b]' % (members, logprobs)
        self._script.say(kind.event + b".done", members)
        part = _part(kind, text, logprobs)
        self._script.say(b"response.content_part.done", b'%b,"part":%b' % (where, part))
        self._parts.append(part)
        self._kind = None

    def _where(self) -> bytes:
        return b'"item_id":"%b","output_index":%d,"content_index":%d' % (self._id, self._index, len(self._parts))

    def _written(self, status: bytes) -> bytes:
        content = b",".join(self._parts)
        if self.thought:
            said = b'{"id":"%b","type":"reasoning","status":"%b","summary":[],"content":[%b]}'
        else:
            said = b'{"id":"%b","type":"message","status":"%b","role":"assistant","content":[%b]}'
        return said % (self._id, status, content)


class CallItem:
    """A call of a function while its arguments come. It is told of when its name is known."""

    __slots__ = ("_arguments", "_base", "_id", "_script", "call_id", "index", "name", "told")

    def __init__(self, *, base: bytes, script: Script) -> None:
        self._base = base
        self._script = script
        self._id = b""
        self.index = -1
        self.told = False
        self.call_id = b""
        self.name = b""
        self._arguments = bytearray()

    def tell(self, index: int) -> None:
        """Begin the item, in its place among the others. A call that has no id so far gets one for good."""
        self.told = True
        self.index = index
        self._id = b"fc_%b_%d" % (self._base, index)
        self.call_id = self.call_id or b"call_%b_%d" % (self._base, index)
        item = self._written(_IN_PROGRESS, b"")
        self._script.say(b"response.output_item.added", b'"output_index":%d,"item":%b' % (index, item))
        if self._arguments:
            self._say(bytes(self._arguments))

    def grow(self, body: bytes) -> None:
        self._arguments += body
        if self.told:
            self._say(body)

    def end(self, status: bytes) -> bytes:
        """End the item and return it."""
        arguments = bytes(self._arguments)
        self._script.say(
            b"response.function_call_arguments.done",
            b'"item_id":"%b","output_index":%d,"name":"%b","arguments":"%b"'
            % (self._id, self.index, self.name, arguments),
        )
        item = self._written(status, arguments)
        self._script.say(b"response.output_item.done", b'"output_index":%d,"item":%b' % (self.index, item))
        return item

    def _say(self, body: bytes) -> None:
        self._script.say(
            b"response.function_call_arguments.delta",
            b'"item_id":"%b","output_index":%d,"delta":"%b"' % (self._id, self.index, body),
        )

    def _written(self, status: bytes, arguments: bytes) -> bytes:
        return (b'{"id":"%b","type":"function_call","status":"%b","call_id":"%b","name":"%b","arguments":"%b"}') % (
            self._id,
            status,
            self.call_id,
            self.name,
            arguments,
        )


def _part(kind: PartKind, text: bytes, logprobs: bytes) -> bytes:
    if kind.has_logprobs:
        return b'{"type":"output_text","annotations":[],"logprobs":[%b],"text":"%b"}' % (logprobs, text)
    return b'{"type":"%b","%b":"%b"}' % (kind.type, kind.member, text)
