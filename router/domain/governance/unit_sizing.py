"""Decide what a call that is paid for by units beside tokens may cost at one deployment, before it is dispatched.

Nothing is written into such a request, and no reply is cut: what one can use at most is known before, or it is refused
under a budget.
"""

from typing import Final

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import Dialect
from router.domain.dialects.metered import guess_of, images_in, units_max
from router.domain.dialects.request import Request
from router.domain.faults import Refusal
from router.domain.governance.budget import Amounts
from router.domain.governance.input_bound import PartKind, Unbounded, bound_input
from router.domain.governance.rate import Costs
from router.domain.governance.sizing import (
    OUTPUT_TOKENS_UNSAID,
    Room,
    Sized,
    price_within,
    refuse_unpriced,
    unbounded,
)
from router.domain.instants import NS_PER_S
from router.domain.pricing import FREE, PriceCard, ceiling_of
from router.domain.units import NO_UNITS
from router.domain.usage import TOKENS_MAX, estimate_tokens

IMAGE_TOKENS_MAX: Final = 16_384
"""Of one image where its deployment says no more: 13,767 are those of the dearest that the catalogue prices."""
_LONGEST: Final = {Dialect.IMAGES: IMAGE_TOKENS_MAX, Dialect.AUDIO: OUTPUT_TOKENS_UNSAID}
"""Where models answer with tokens, if their provider counts in such: the most of a result."""


def size_metered(
    request: Request,
    deployment: Deployment,
    *,
    room: Room,
    duration_ns_max: int,
    assumed_price: PriceCard | None = None,
) -> Sized | Refusal:
    """Size one attempt, as `size_call` does for what is paid for by tokens alone."""
    price = deployment.price or price_within(room, assumed_price)
    if isinstance(price, Refusal):
        return price
    units = units_max(request)
    if units is None and room.usd is not None:
        return refuse_unpriced("A budget in USD applies, and nobody can say how long the sound is. Send it as a file.")
    if price is not None and room.usd is not None and not price.covers(units or NO_UNITS):
        return refuse_unpriced("The model has no price for this, and a budget in USD applies. Use one that has.")
    counted = room.tokens is not None or (price is not None and price.charges_tokens)
    input_tokens = _input_tokens(request, deployment)
    if isinstance(input_tokens, Unbounded):
        if deployment.context_window is not None:
            input_tokens = deployment.context_window
        elif room.is_counted and counted:
            return unbounded(input_tokens)
        else:
            input_tokens = request.size
    output_tokens = 0
    if counted and (longest := _LONGEST.get(request.grammar.dialect)):
        longest = deployment.max_output_tokens or longest
        output_tokens = min(longest * max(1, guess_of(request).units.images), TOKENS_MAX)
    ceiling = FREE if price is None else ceiling_of(price, input_tokens, duration_ns_max, units or NO_UNITS)
    expected = estimate_tokens(request.size)
    return Sized(
        amounts=Amounts(ceiling.usd(output_tokens), input_tokens + output_tokens, 1, -(-duration_ns_max // NS_PER_S)),
        costs=Costs(1, expected, 0, expected),
        output_tokens=output_tokens,
        output_tokens_max=None,
        write_max_tokens=None,
        top_up=False,
        ceiling=ceiling,
    )


def _input_tokens(request: Request, deployment: Deployment) -> int | Unbounded:
    """Bound what the model reads: its text by its bytes, what is no text by what the operator has declared."""
    bound = bound_input(request.grammar, request.fields, deployment.part_maxima)
    if isinstance(bound, Unbounded):
        return bound
    if request.form is not None:
        bound += request.form.late_bytes
    images = images_in(request)
    sounds = 0 if images or request.form is None else len(request.form.files)
    for kind, count in ((PartKind.IMAGE, images), (PartKind.AUDIO, sounds)):
        if count and kind not in deployment.part_maxima:
            return Unbounded(part=kind)
        bound += count * deployment.part_maxima.get(kind, 0)
    return bound
