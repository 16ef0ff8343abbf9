"""Decide what a call may cost at one deployment before it is dispatched, and which maximum is written into its body.

Laws:
- Held is at least what is billed, whatever part of the input was cached and wherever the reply ends within its bounds.
- Under an account that counts output every reply has a bound: the caller's maximum, else the deployment's, else ours.
- A maximum that is relied upon stands in the member that the deployment heeds.
- What does not fit is sized all the same: the account that then refuses it is the one to name.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import CHAT, Grammar
from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal
from router.domain.governance.budget import Amounts, BudgetMode
from router.domain.governance.input_bound import PartKind, Unbounded, bound_input, bound_output
from router.domain.governance.rate import Costs
from router.domain.instants import NS_PER_S
from router.domain.pricing import FREE, Ceiling, PriceCard, ceiling_of
from router.domain.stream import ReplyMode
from router.domain.usage import TOKENS_MAX, estimate_tokens

OUTPUT_TOKENS_UNSAID: Final = 32_768
"""A choice's maximum where neither the caller nor the deployment has one; written if an account counts output."""
REPLY_TOKENS_MIN: Final = 64
"""A caller that named no maximum is not given a shorter one: less is no answer, and a refusal says why."""
OUTPUT_TOKENS_GUESS: Final = 1_024
"""What a call takes of its rate limits for a reply of a kind that nothing is known of; corrected at its end."""
LOW_FUNDS_FACTOR: Final = 20
"""With less room than so many estimated reservations, each call holds its worst case: top-ups would soon be refused."""

_STREAM: Final = ReplyMode.STREAM
_QUANTILE: Final = BudgetMode.QUANTILE


class Room(NamedTuple):
    """The least that any account of the call has left. None: no account counts the unit, so nothing bounds it."""

    usd: int | None = None
    """nano-USD"""
    tokens: int | None = None
    passed_over: bool = False
    """There are accounts that are only observed, and what they have left is not in it."""

    def beside(self, held: Amounts, spent: Amounts) -> "Room":
        """Return the room of a further attempt: what the call holds is its own, but for what it has spent of it."""
        usd, tokens, passed_over = self
        return Room(
            None if usd is None else max(0, usd + held.usd - spent.usd),
            None if tokens is None else max(0, tokens + held.tokens - spent.tokens),
            passed_over,
        )

    @property
    def is_counted(self) -> bool:
        """Tell whether an account counts money or tokens, and so must know what the call may use."""
        return self.usd is not None or self.tokens is not None


NO_ACCOUNT: Final = Room()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the accounts of a call say about how it is sized."""

    mode: BudgetMode = BudgetMode.QUANTILE
    clamp: bool = False
    """A maximum of the caller's that does not fit is lowered, not refused."""


class Sized(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to reserve and to charge for one attempt, and what to write."""

    amounts: Amounts
    costs: Costs
    """For the rate limits: an estimate, not a bound."""
    output_tokens: int
    """Held, for all choices together."""
    output_tokens_max: int | None
    """All that may ever be held: a stream that goes on beyond it is cut. None: no account counts output."""
    write_max_tokens: tuple[str, int] | None
    """Member and number, for each choice; None leaves the caller's bytes as they are."""
    top_up: bool
    """Less than the maximum is held: extend while it streams."""
    ceiling: Ceiling

    def extension(self, held: int, more: int) -> Amounts:
        """Price `more` output tokens beyond those held: extended to its maximum, a call holds what that costs."""
        return Amounts(self.ceiling.usd(held + more) - self.ceiling.usd(held), more)


def size_call(
    request: Request,
    deployment: Deployment,
    *,
    room: Room,
    terms: Terms,
    estimate: int | None,
    duration_ns_max: int,
    assumed_price: PriceCard | None = None,
) -> Sized | Refusal:
    """Size one attempt. `request` is as the deployment is to receive it, in a dialect that it speaks.

    `estimate` is the learned quantile of the output of all choices; None: nothing is learned. A model without a price
    is taken to cost `assumed_price` under an account in USD, or is refused.
    """
    room_usd, room_tokens, _ = room
    price = deployment.price or price_within(room, assumed_price)
    if isinstance(price, Refusal):
        return price
    grammar, fields = request.grammar, request.fields
    input_tokens = bound_input(grammar, fields, deployment.part_maxima)
    if isinstance(input_tokens, Unbounded):
        if input_tokens.in_window and deployment.context_window is not None:
            input_tokens = deployment.context_window
        elif room.is_counted:
            return unbounded(input_tokens)
        else:
            input_tokens = sum(map(len, fields.values()))
    ceiling = FREE if price is None else ceiling_of(price, input_tokens, duration_ns_max)

    affordable = None if room_usd is None else ceiling.affords(room_usd)
    if room_tokens is not None and (affordable is None or room_tokens - input_tokens < affordable):
        affordable = room_tokens - input_tokens
    most, write = _maximum(request, deployment, affordable, terms) if grammar.generates else (0, None)
    held = most
    expected = OUTPUT_TOKENS_GUESS if estimate is None else estimate
    if expected >= most:
        expected = most
    elif estimate is not None and affordable is not None and terms.mode is _QUANTILE and request.mode is _STREAM:
        # One that comes whole cannot be cut and holds its worst case; so does each when funds are low.
        held = most if _low_funds(room, ceiling, input_tokens, estimate) else estimate
    expected_input = estimate_tokens(input_tokens)
    return Sized(
        amounts=Amounts(ceiling.usd(held), input_tokens + held, 1, -(-duration_ns_max // NS_PER_S)),
        costs=Costs(1, expected_input, expected, expected_input + expected),
        output_tokens=held,
        output_tokens_max=None if affordable is None else most,
        write_max_tokens=write,
        top_up=held < most,
        ceiling=ceiling,
    )


def price_within(room: Room, assumed_price: PriceCard | None) -> PriceCard | Refusal | None:
    """Return what a deployment without a price costs; None where no account in USD asks."""
    if room.usd is None:
        return None
    if assumed_price is not None:
        return assumed_price
    return refuse_unpriced("The model has no price, and a budget in USD applies. Use a model that has one.")


def _maximum(
    request: Request, deployment: Deployment, affordable: int | None, terms: Terms
) -> tuple[int, tuple[str, int] | None]:
    """Return how long the reply may get, all choices together, and what to write. It may still be more than fits.

    `affordable` is the longest reply that the accounts have room for, None if none of them counts output.
    """
    grammar, fields = request.grammar, request.fields
    asked = bound_output(grammar, fields)
    said, choices = asked.per_choice, asked.choices
    field = deployment.max_tokens_field if grammar is CHAT else grammar.max_tokens[0]
    if affordable is None and field is not None and field not in fields:
        said = None  # the deployment does not look where the caller said it, and nothing will be written
    own = deployment.max_output_tokens
    if own is None and deployment.context_window is not None:
        own = _small_window(deployment.context_window)
    if request.limit_is_ours:
        own, said = said, None
    per_choice = said or own or OUTPUT_TOKENS_UNSAID
    if own is not None and own < per_choice:
        per_choice = own
    most = per_choice * choices
    write = False
    # What the caller says counts only where the deployment looks for it, and what nobody says has no bound.
    if affordable is not None:
        write = own is None if said is None else field is not None and _elsewhere(grammar, fields, field)
        if most > affordable and (said is None or terms.clamp):
            fits = affordable // choices
            least = min(REPLY_TOKENS_MIN, per_choice)
            if fits >= least or said is None:
                write, per_choice = True, max(fits, least)
                most = per_choice * choices
    if most > TOKENS_MAX:
        most = TOKENS_MAX
    return most, (field or _field_of(grammar, fields), per_choice) if write else None


def _small_window(window: int) -> int | None:
    """Return the context window as the bound of a reply, which lies in it, if it is no larger than our own bound.

    Upstreams that hold the maximum against the window refuse one that is as large as it, so none is written then.
    """
    return window if window <= OUTPUT_TOKENS_UNSAID else None


def _low_funds(room: Room, ceiling: Ceiling, input_tokens: int, estimate: int) -> bool:
    if room.usd is not None and room.usd < LOW_FUNDS_FACTOR * ceiling.usd(estimate):
        return True
    return room.tokens is not None and room.tokens < LOW_FUNDS_FACTOR * (input_tokens + estimate)


def _elsewhere(grammar: Grammar, fields: Mapping[str, Raw], field: str) -> bool:
    """Tell whether the caller says a maximum, perhaps a second one, where the deployment does not look."""
    return any(name != field and name in fields for name in grammar.max_tokens)


def _field_of(grammar: Grammar, fields: Mapping[str, Raw]) -> str:
    for name in grammar.max_tokens:
        if name in fields:
            return name
    return grammar.max_tokens[0]


def unbounded(by: Unbounded) -> Refusal:
    """Refuse a request because nobody can say how much of it a model reads."""
    what = f"holds {_PARTS[part]}" if (part := by.part) in _PARTS else "holds what is neither text nor of a known kind"
    return refuse_unpriced(
        f"A budget applies, and the request {what}: nobody can bound its tokens at this model. Send text instead."
    )


_PARTS: Final[Mapping[str, str]] = {PartKind.IMAGE: "an image", PartKind.AUDIO: "sound", PartKind.FILE: "a file"}


def refuse_unpriced(message: str) -> Refusal:
    return Refusal(fault=Fault.PRICE_UNKNOWN, message=message)
