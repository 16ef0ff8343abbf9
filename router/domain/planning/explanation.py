"""Put down in few bytes why a call went where it went, and read it again in sentences for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import field

from router.domain.catalog import Deployment
from router.domain.instants import NS_PER_MS
from router.domain.planning.eligibility import Dropped, DropReason
from router.domain.planning.plan import RoutePlan
from router.domain.planning.substitution import Reason
from router.domain.settlement import Substituted

LISTED_MAX: Final = 16
"""Entries of each list that are written; how many are not is written too."""
DECISION_BYTES_MAX: Final = 4_096
"""Of a written decision. Lists get shorter until it is kept to."""


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What was decided about one call, as it is stored: members of one letter, and only those that say something."""

    asked: str = field(name="a")
    """The model that the caller's name means."""
    model: str | None = field(name="m", default=None)
    """Its stand-in, and why there is one."""
    reason: str | None = field(name="r", default=None)
    candidates: tuple[str, ...] = field(name="c", default=())
    """Targets, in the order to ask them."""
    dropped: tuple[tuple[str, str, str | int | None], ...] = field(name="d", default=())
    """Target, reason and detail: until when it rests, or has no room, is in Unix milliseconds."""
    spared: tuple[str, ...] = field(name="s", default=())
    """Of the candidates, those that would be left out if fewer were."""
    tried: tuple[tuple[str, str], ...] = field(name="t", default=())
    """Target and model of each attempt."""
    named: tuple[str, ...] | None = field(name="f", default=None)
    """Models that the request names to fall back on."""
    disabled: bool = field(name="x", default=False)
    """The request wants no other model."""
    home: str | None = field(name="h", default=None)
    """The target at which its conversation was."""
    unlisted: int = field(name="n", default=0)
    """Entries that were left out of the lists."""


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Decision)


def substituted_by(plan: RoutePlan, deployment: Deployment) -> Substituted | None:
    """Say which model serves in the place of the one asked for; None: it is served itself, by whatever name."""
    asked, served = plan.asked, deployment.model
    if served == asked.name or any(one is deployment for one in asked.deployments):
        return None
    stands_in = plan.stands_in is not None and served == plan.model.name
    reason = plan.stands_in if stands_in and plan.stands_in is not None else Reason.FALLBACK
    return Substituted(asked.name, served, reason.value)


def explain(plan: RoutePlan, tried: Sequence[Deployment], wall_offset_ns: int) -> str | None:
    """Write down what was decided; None where there was nothing to decide: one deployment, asked once or not at all.

    `tried`: where the call was sent, in order. `wall_offset_ns` is added to a monotonic time to make it Unix time.
    """
    wanted = plan.directives.disabled or plan.directives.fallbacks is not None
    alone = len(plan.candidates) == 1 and not plan.dropped and plan.stands_in is None and not wanted
    if alone and (not tried or (len(tried) == 1 and tried[0] is plan.candidates[0])):
        return None
    for listed in (LISTED_MAX, LISTED_MAX // 4):
        text = _encoder.encode(_decision(plan, tried, wall_offset_ns, listed))
        if len(text) <= DECISION_BYTES_MAX:
            return text.decode()
    return _encoder.encode(_decision(plan, tried, wall_offset_ns, 0)).decode()


def describe(text: str | bytes) -> list[str]:
    """Say in sentences what a stored decision says. Raises `msgspec.DecodeError` for what is none."""
    said = _decoder.decode(text)
    lines = []
    if said.model is not None:
        lines.append(
            f"{said.model} stands in for {said.asked}: {_WHY.get(said.reason or '', 'a reason of another release')}"
        )
    if said.home is not None:
        lines.append(f"the conversation was at {said.home}")
    lines.append(f"in order: {', '.join(said.candidates) or 'nobody could take it'}")
    lines += [f"kept though slow or failing at times, because most are out: {target}" for target in said.spared]
    for target, reason, detail in said.dropped:
        how = "set back" if reason == DropReason.NO_ROOM else "left out"
        lines.append(f"{how}: {target}, {_why_dropped(reason, detail)}")
    if said.disabled:
        lines.append("the request wanted no other model")
    if said.named is not None:
        lines.append(f"the request named to fall back on: {', '.join(said.named) or 'nobody'}")
    lines += [f"passed over, not free or of no help: {target}" for target in _passed_over(said)]
    planned = said.model or said.asked
    for number, (target, model) in enumerate(said.tried, 1):
        other = "" if model in (planned, "") else f", of the model {model}"
        lines.append(f"attempt {number}: {target}{other}")
    if not said.tried:
        lines.append("it was sent to nobody")
    if said.unlisted:
        lines.append(f"{said.unlisted} more are not written down")
    return lines


def _decision(plan: RoutePlan, tried: Sequence[Deployment], wall_offset_ns: int, listed: int) -> Decision:
    directives, other = plan.directives, plan.stands_in is not None
    lists: tuple[Sequence[object], ...] = (plan.candidates, plan.dropped, tried, directives.fallbacks or ())
    return Decision(
        asked=plan.asked.name,
        model=plan.model.name if other else None,
        reason=plan.stands_in,
        candidates=_targets(plan.candidates[:listed]),
        dropped=tuple([_dropped(one, wall_offset_ns) for one in plan.dropped[:listed]]),
        spared=_targets([one for one in plan.candidates[:listed] if one.target in plan.spared]),
        tried=tuple([(one.target, one.model) for one in tried[:listed]]),
        named=None if directives.fallbacks is None else directives.fallbacks[:listed],
        disabled=directives.disabled,
        home=plan.pinned,
        unlisted=sum([max(0, len(one) - listed) for one in lists]),
    )


def _targets(deployments: Iterable[Deployment]) -> tuple[str, ...]:
    return tuple([one.target for one in deployments])


def _dropped(one: Dropped, wall_offset_ns: int) -> tuple[str, str, str | int | None]:
    detail = one.detail if one.until_ns is None else (one.until_ns + wall_offset_ns) // NS_PER_MS
    return one.deployment.target, one.reason, detail


def _passed_over(said: Decision) -> list[str]:
    """Name the candidates that were not asked though one after them was."""
    tried = [target for target, _ in said.tried]
    last = max([place for place, target in enumerate(said.candidates) if target in tried], default=0)
    elsewhere = any(target not in said.candidates for target in tried)
    before = said.candidates if elsewhere else said.candidates[:last]
    return [target for target in before if target not in tried]


def _why_dropped(reason: str, detail: str | int | None) -> str:
    match reason:
        case DropReason.CAPABILITY:
            return f"cannot do {detail}"
        case DropReason.DIALECT:
            return f"cannot be asked in {detail}"
        case DropReason.CONTEXT_WINDOW:
            return f"reads {detail} tokens at most"
        case DropReason.RESTING | DropReason.EJECTED | DropReason.NO_ROOM if isinstance(detail, int):
            until = datetime.fromtimestamp(detail / 1_000, UTC)
            return f"{_WHY_AWAY[reason]} until {until:%Y-%m-%d %H:%M:%SZ}"
        case DropReason.FULL:
            return "has as many calls as it may"
        case _:
            return reason


_WHY_AWAY: Final[dict[str, str]] = {
    DropReason.RESTING: "left alone",
    DropReason.EJECTED: "slow or failing at times, left alone",
    DropReason.NO_ROOM: "no room for the call under its limits",
}
_WHY: Final[dict[str, str]] = {
    Reason.BUDGET: "a budget is low",
    Reason.PRIORITY: "of the call's priority",
    Reason.TAG: "of the call's tag",
    Reason.DOWN: "no deployment of it could take a call",
    Reason.LATE: "the deadline was too near for it",
    Reason.ALWAYS: "it always does",
}
