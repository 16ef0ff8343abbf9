"""A request made of its members, for tests that do not care how it was read."""

from collections.abc import Mapping

from msgspec import Raw

from router.domain.dialects.dialect import CHAT, Grammar
from router.domain.dialects.request import Request
from router.domain.stream import ReplyMode


def asked(fields: Mapping[str, Raw], mode: ReplyMode = ReplyMode.UNARY, grammar: Grammar = CHAT) -> Request:
    return Request(
        grammar=grammar,
        fields=dict(fields),
        model="small",
        mode=mode,
        wants_usage=False,
        size=sum(len(raw) for raw in fields.values()),
    )
