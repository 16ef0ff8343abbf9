"""The two facts about a call that outlive it: the reservation made before it, the settlement made after it."""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from router.domain.faults import Fault
from router.domain.governance.account import AccountKey
from router.domain.governance.budget import NOTHING, Amounts
from router.domain.ids import CallId, DeploymentId, KeyId, ProviderId
from router.domain.money import NanoUsd
from router.domain.stream import ReplyMode
from router.domain.usage import NO_USAGE, TokenUsage


class Outcome(StrEnum):
    """How a call ended. A row without an outcome is still open."""

    COMPLETED = "completed"
    REFUSED = "refused"
    """We refused it; nothing was dispatched."""
    FAILED = "failed"
    """Every attempt failed before the caller saw a byte of a reply."""
    INTERRUPTED = "interrupted"
    """The stream broke after the caller had seen part of it."""
    CLIENT_CANCELLED = "client_cancelled"
    RECOVERED_HELD = "recovered_held"
    """The process died while the call was open; what the provider used is unknown."""


class Labels(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the caller said about the call's place in its workflow. At most 128 characters each."""

    workflow_id: str | None = None
    parent_call_id: str | None = None
    agent: str | None = None
    tags: str | None = None


def tag_values(tags: str | None) -> list[str]:
    """Read the tags that a caller separated by commas: each once, in order."""
    return sorted({tag.strip() for tag in (tags or "").split(",")} - {""})


class Reservation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The row that is committed before anything is dispatched. Times are Unix nanoseconds."""

    id: CallId
    request_id: str
    key_id: KeyId
    asked_model: str
    started_ns: int
    labels: Labels
    path: tuple[AccountKey, ...] = ()
    """The accounts that must have room, narrowest first."""
    amounts: Amounts = NOTHING
    """The most that the call may use."""
    observed: bool = False
    """Held whether there is room or not: the caller is told nothing, and the money is counted."""

    @property
    def hold_nano_usd(self) -> NanoUsd:
        return NanoUsd(self.amounts.usd)


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One dispatch to one deployment. `number` counts from 1."""

    number: int
    deployment: DeploymentId
    provider: ProviderId
    upstream_model: str
    started_ns: int
    duration_ns: int
    first_token_ns: int | None = None
    """From dispatch to the first event with content."""
    fault: Fault | None = None
    upstream_status: int | None = None
    usage: TokenUsage = NO_USAGE
    cost_nano_usd: NanoUsd | None = None
    """None: no price is known."""
    price_version: str | None = None


class Substituted(NamedTuple):
    """Which model served in the place of another. All three are closed sets: configured names, and reasons."""

    asked: str
    served: str
    reason: str

    @property
    def text(self) -> str:
        """As rows and headers have it."""
        return f"{self.asked}->{self.served};{self.reason}"


class StoredReply(NamedTuple):
    """A reply that its provider keeps, under the id that the caller was given, and where that is."""

    id: str
    deployment: DeploymentId
    provider: ProviderId
    credential: str
    """Its name; with the provider's it says whose store it is."""


class StoredRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that its provider keeps, and whose it is."""

    key_id: str
    started_ns: int
    """Of its call, in Unix nanoseconds."""
    reply: StoredReply


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything that is known of a call once it has ended; the source of its row, log line and metrics."""

    id: CallId
    request_id: str
    key_id: KeyId
    organization: str | None = None
    team: str | None = None
    user: str | None = None
    labels: Labels
    route: str
    """The façade's operation, such as `chat`."""
    mode: ReplyMode
    asked_model: str
    served_deployment: DeploymentId | None = None
    served_model: str | None = None
    """What the upstream said it served."""
    started_ns: int
    duration_ns: int
    first_token_ns: int | None = None
    """From the arrival of the request to the first event with content."""
    outcome: Outcome
    fault: Fault | None = None
    usage: TokenUsage = NO_USAGE
    cost_nano_usd: NanoUsd | None = None
    price_version: str | None = None
    attempts: tuple[AttemptRow, ...] = ()
    spent: Amounts = NOTHING
    """What is posted to the accounts of the reservation."""
    would_refuse: Fault | None = None
    """What would have refused the call, had its key, or what refuses, not only been observed."""
    priority: str | None = None
    """Its class; None: it was refused before it had one."""
    decision: str | None = None
    """Why it went where it went, as `domain/planning/explanation.py` writes it; None: there was no choice."""
    substituted: Substituted | None = None
    """The other model that served; None: the one that was asked for, or nobody."""
    stored: StoredReply | None = None
    """Where its reply is kept, if calls to come may build on it."""
