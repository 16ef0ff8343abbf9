"""Decide who can answer a request that builds on what a provider stores: whoever stores it, and nobody else.

A request that names an earlier reply goes to the target that made it, whatever the strategy says, for the reply is
nowhere else. An id that is nobody's goes on only where there is no choice of whom it could mean.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from router.domain.catalog import Deployment, Model
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal
from router.domain.ids import target_of
from router.domain.instants import NS_PER_S
from router.domain.settlement import StoredRecord, StoredReply

STORED_TTL_NS: Final = 30 * 86_400 * NS_PER_S
"""As long as OpenAI keeps a reply; an older id is nobody's."""
REMEMBERED_MAX: Final = 16_384
"""Records kept in memory, about 6 MB; the store has the others."""

_REPLY: Final = "previous_response_id"
_MEMBERS: Final = (_REPLY, "conversation")
_BACKGROUND: Final = Refusal(
    fault=Fault.UNSUPPORTED_PARAMETER,
    message="`background` cannot be true: what such a reply costs is known only after its call has ended, and this "
    "router settles no call later. Leave it out, and stream if the reply takes long.",
    param="background",
)


class _Object(msgspec.Struct, gc=False):
    id: str = ""


_name: Final = msgspec.json.Decoder(str | _Object | None)
_ABSENT: Final = Raw(b"null")


class Named(NamedTuple):
    """What a request builds on."""

    member: str
    """Of the request, that names it."""
    id: str

    @property
    def is_reply(self) -> bool:
        """Tell whether there may be a record of it: only replies have one, conversations have none."""
        return self.member == _REPLY


class Basis(NamedTuple):
    """What a request builds on, and where that is."""

    member: str
    reply: StoredReply | None
    """None: it is not known here."""


def named_in(request: Request) -> Named | Refusal | None:
    """Read what a request builds on; None: it says all itself, as far as we can read."""
    fields = request.fields
    if bytes(fields.get("background", _ABSENT)) == b"true":
        return _BACKGROUND
    for member in _MEMBERS:
        try:
            said = _name.decode(fields.get(member, _ABSENT))
        except msgspec.DecodeError:
            continue  # its provider will say what is wrong with it
        name = said.id if isinstance(said, _Object) else said
        if name:
            return Named(member, name)
    return None


def who_stores(basis: Basis, model: Model) -> Sequence[Deployment] | Refusal:
    """Return the deployments of a model that can go on from there.

    All of them where none speaks the dialect: each will say for itself that it cannot.
    """
    speakers = [one for one in model.deployments if Dialect.RESPONSES in one.dialects]
    reply = basis.reply
    if reply is None:
        if not speakers:
            return model.deployments
        return speakers if len(speakers) == 1 else unknown(basis.member)
    target = target_of(reply.deployment, reply.credential)
    exactly = [one for one in speakers if one.target == target]
    beside = [one for one in speakers if (one.provider, one.credential) == (reply.provider, reply.credential)]
    return exactly or beside or _elsewhere(basis.member, model)


def unknown(member: str) -> Refusal:
    """Refuse an id that nobody had or somebody else has: nobody is to tell these apart."""
    return Refusal(
        fault=Fault.NOT_FOUND,
        message=f"`{member}` names nothing that this key has stored through this router in the last 30 days. "
        "Send the conversation in `input`.",
        param=member,
    )


def _elsewhere(member: str, model: Model) -> Refusal:
    return Refusal(
        fault=Fault.NOT_FOUND,
        message=f"What `{member}` names is stored where {model.name!r} has no deployment. Ask for the model that made "
        "it, or send the conversation in `input`.",
        param=member,
    )


class StoredReplies:
    """Where the replies of late are stored. Bounded: those that were named longest ago are forgotten."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: dict[str, StoredRecord] = {}

    def __len__(self) -> int:
        return len(self._records)

    def remember(self, record: StoredRecord) -> None:
        records = self._records
        records.pop(record.reply.id, None)
        records[record.reply.id] = record
        if len(records) > REMEMBERED_MAX:
            del records[next(iter(records))]

    def find(self, reply_id: str) -> StoredRecord | None:
        record = self._records.get(reply_id)
        if record is not None:
            self.remember(record)
        return record


def is_over(record: StoredRecord, wall_ns: int) -> bool:
    """Tell whether a reply is so old that its provider has let go of it."""
    return wall_ns - record.started_ns >= STORED_TTL_NS
