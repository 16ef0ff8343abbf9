"""Say of each form of message how it holds JSON: an object of members, one of several, one that names its type, a list.

A message is read as the arguments of its constructor, which makes it at once with all that is in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from google.protobuf.message import Message
from msgspec import Raw

from router.domain.dialects.raw_json import NULL, encode
from router.facades.grpc.kinds import NOT_HELD, Broken, Kind, Unheld, json_object, json_text

EXTRA: Final = "extra_json"
RAW: Final = "raw_json"

Arguments = dict[str, object]
"""Of a message's constructor, by the names of its fields."""

_object: Final = msgspec.json.Decoder(dict[str, Raw])
_objects: Final = msgspec.json.Decoder(list[dict[str, Raw]])
_list: Final = msgspec.json.Decoder(list[Raw])
_text: Final = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A field, and the member of the object that it is."""

    name: str
    field: str
    kind: Kind


class Object:
    """A message with a field for each member that it knows; all others are in its `extra_json`."""

    __slots__ = ("_chosen", "_fields", "_listed", "_members")

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._fields: dict[str, Member] = {}
        self._chosen: tuple[str, ...] = ()
        self._listed: tuple[str, ...] = ()

    def know(self, member: Member, *, listed: bool = False) -> None:
        """Hold one more member; what is `listed` is `[]` when its field is empty."""
        self._members[member.name] = self._fields[member.field] = member
        if listed:
            self._listed = (*self._listed, member.name)

    def know_choice(self, name: str, choice: str, options: Sequence[Member]) -> None:
        """Hold one more member, in the first of these fields that can."""
        self._members[name] = Member(name=name, field=choice, kind=Choice(options).kind())
        self._fields |= {option.field: Member(name=name, field=option.field, kind=option.kind) for option in options}
        self._chosen = (*self._chosen, choice)

    def read(self, raw: Raw) -> Arguments:
        return self.hold(_object.decode(raw))

    def read_list(self, raw: Raw) -> list[Arguments]:
        return [self.hold(members) for members in _objects.decode(raw)]

    def hold(self, members: Mapping[str, Raw]) -> Arguments:
        """Raises `Unheld` if a list is absent that the message cannot but have."""
        held: Arguments = {}
        rest: dict[str, Raw] = {}
        known = self._members
        for name, raw in members.items():
            member = known.get(name)
            if member is not None and (raw != NULL or member.kind.null):
                try:
                    held[member.field] = member.kind.read(raw)
                    continue
                except NOT_HELD:
                    pass
            rest[name] = raw
        for name in self._listed:
            if name not in members:
                raise Unheld
        for choice in self._chosen:
            if choice in held:
                held |= cast(Arguments, held.pop(choice))
        if rest:
            held[EXTRA] = json_text(encode(rest))
        return held

    def write(self, message: Message) -> dict[str, object]:
        written: dict[str, object] = {}
        extra = ""
        for descriptor, value in message.ListFields():
            field = descriptor.name
            if field == EXTRA:
                extra = value
                continue
            member = self._fields[field]
            try:
                written[member.name] = member.kind.write(value)
            except Broken as broken:
                raise broken.within(field) from None
        if extra:
            _add(written, extra)
        for name in self._listed:
            written.setdefault(name, [])
        return written


class Choice:
    """A message that holds one value in one of several fields."""

    __slots__ = ("_options", "_writers")

    def __init__(self, options: Sequence[Member]) -> None:
        self._options = options
        self._writers = {option.field: option.kind.write for option in options}

    def kind(self) -> Kind:
        return Kind(read=self.read, write=self.write, null=any(option.kind.null for option in self._options))

    def read(self, raw: Raw) -> Arguments:
        for option in self._options:
            try:
                return {option.field: option.kind.read(raw)}
            except NOT_HELD:
                pass
        raise Unheld

    def write(self, message: Message) -> object:
        for descriptor, value in message.ListFields():
            try:
                return self._writers[descriptor.name](value)
            except Broken as broken:
                raise broken.within(descriptor.name) from None
        raise _unset(self._writers)


class Tagged:
    """A message whose field that is set has the name of its `type`; whole in `raw_json` where no field can hold it."""

    __slots__ = ("_options",)

    def __init__(self, options: Iterable[Member]) -> None:
        self._options = {option.field: option.kind for option in options}

    def read(self, raw: Raw) -> Arguments:
        members = _object.decode(raw)
        try:
            tag = _text.decode(members.pop("type"))
            if tag == RAW:
                raise Unheld
            held: Arguments = {tag: self._options[tag].read(members.pop(tag))}
        except (KeyError, *NOT_HELD):
            return {RAW: json_text(raw)}
        if members:
            held[EXTRA] = json_text(encode(members))
        return held

    def read_list(self, raw: Raw) -> list[Arguments]:
        return [self.read(each) for each in _list.decode(raw)]

    def write(self, message: Message) -> object:
        tag, value, extra = "", None, ""
        for descriptor, held in message.ListFields():
            if descriptor.name == EXTRA:
                extra = held
            else:
                tag, value = descriptor.name, held
        if not tag:
            raise _unset(self._options)
        try:
            inner = self._options[tag].write(value)  # type: ignore[arg-type] # its own field's
        except Broken as broken:
            raise broken.within(tag) from None
        if tag == RAW:
            if extra:
                raise Broken("stands beside `raw_json`, which is the whole object", "Put its members there", EXTRA)
            return inner
        written = {"type": tag, tag: inner}
        if extra:
            _add(written, extra)
        return written


def each_of(shape: Object | Tagged) -> Kind:
    """A list of messages of one shape."""

    def write(messages: Iterable[Message]) -> list[object]:
        written: list[object] = []
        for message in messages:
            try:
                written.append(shape.write(message))
            except Broken as broken:
                raise broken.within(f"[{len(written)}]") from None
        return written

    return Kind(read=shape.read_list, write=write)


def each_kind(kind: Kind) -> Kind:
    """A list of what is of one kind."""

    def write(values: Iterable[object]) -> list[object]:
        return [kind.write(value) for value in values]  # type: ignore[arg-type] # its own fields'

    return Kind(read=lambda raw: [kind.read(each) for each in _list.decode(raw)], write=write)


def wrapped(field: str, kind: Kind) -> Kind:
    """A message that is there for the list in it, which may be empty."""

    def write(message: Message) -> object:
        try:
            return kind.write(getattr(message, field))
        except Broken as broken:
            raise broken.within(field) from None

    return Kind(read=lambda raw: {field: kind.read(raw)}, write=write)


def not_empty(kind: Kind) -> Kind:
    """A list or a map that is absent when it is empty."""

    def read(raw: Raw) -> object:
        values = kind.read(raw)
        if not values:
            raise Unheld
        return values

    return Kind(read=read, write=kind.write)


def _add(written: dict[str, object], extra: str) -> None:
    try:
        members = json_object(extra)
    except Broken as broken:
        raise broken.within(EXTRA) from None
    if twice := written.keys() & members.keys():
        name = min(twice)
        raise Broken("is in a field and in `extra_json` too", "Leave it out of one of them", name)
    written.update(members)


def _unset(options: Iterable[str]) -> Broken:
    names = ", ".join(f"`{name}`" for name in options)
    return Broken(f"has none of {names} that is known here", "Set one")
