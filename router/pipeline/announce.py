"""Say what a caller is told of how its call was served, beside the reply: the same through every façade."""

from typing import Final

from router.domain.faults import WIRE
from router.domain.governance.rate import Unit
from router.domain.instants import NS_PER_MS
from router.domain.planning.explanation import substituted_by
from router.domain.served_names import is_same_model
from router.domain.settlement import Substituted
from router.pipeline.call import Call

SAID_CHARACTERS_MAX: Final = 200
"""Of what a provider says that it served."""
_UNITS: Final = {unit: unit.name.lower().replace("_", "-").encode() for unit in Unit}
_VISIBLE: Final = frozenset(map(chr, range(0x21, 0x7F))) - frozenset(";,")


def substitution_of(call: Call) -> Substituted | None:
    """Return which other model serves, if one does."""
    deployment = call.attempts[-1].deployment
    if call.plan is None or deployment.model == call.plan.asked.name:
        return None
    return substituted_by(call.plan, deployment)


def notices_of(call: Call) -> list[str]:
    """Say what observing let pass, a lowered class, and which other model the provider says that it served."""
    notices = []
    if call.would_refuse:
        notices.append("would_refuse=" + ",".join([WIRE[fault].code or fault for fault in call.would_refuse]))
    if call.priority is not None and call.priority.lowered:
        notices.append(f"priority={call.priority.name}")
    attempt = call.attempts[-1]
    says = None if attempt.flight is None else attempt.flight.meter.served_model
    asked = attempt.deployment.upstream_model
    if says is not None and says != asked and not is_same_model(asked, says):
        notices.append(f"upstream_model={visible(says)}")
    return notices


def limit_headers(call: Call) -> list[tuple[bytes, bytes]]:
    """Say how the caller's own limits stand, in OpenAI's names and notation."""
    if call.admission is None:
        return []
    headers = []
    for unit, limit, remaining, reset_ns in call.admission.standings():
        name = _UNITS[unit]
        headers.append((b"x-ratelimit-limit-" + name, b"%d" % limit))
        headers.append((b"x-ratelimit-remaining-" + name, b"%d" % remaining))
        headers.append((b"x-ratelimit-reset-" + name, b"%dms" % -(-reset_ns // NS_PER_MS)))
    return headers


def visible(text: str) -> str:
    """Write somebody else's words for a header: no more than the beginning, and nothing that would end the line."""
    return "".join(filter(_VISIBLE.__contains__, text[:SAID_CHARACTERS_MAX]))
