"""Say what a request asks of the deployment that serves it."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.chat import ChatRequest
from router.domain.governance.input_bound import PartKind, bound_output, kinds_in
from router.domain.usage import estimate_tokens

TOOLS: Final = "tools"
JSON_SCHEMA: Final = "json_schema"
CAPABILITIES: Final = frozenset({TOOLS, JSON_SCHEMA, "vision", "audio_input", "pdf_input"})
"""What a request can ask for. A deployment may claim more, which is then only shown."""

_OF_PARTS: Final = {PartKind.IMAGE: "vision", PartKind.AUDIO: "audio_input", PartKind.FILE: "pdf_input"}
_PARTS: Final = (b"image", b"audio", b"file")
"""One of these is in every request that holds such a part; nearly all are let go without being read."""
_NOTHING: Final = (b"null", b"[]", b"{}")
_ABSENT: Final = Raw(b"null")


class Needs(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    capabilities: frozenset[str]
    input_tokens: int
    """An estimate and no bound: who guesses high refuses the healthy."""
    output_tokens: int | None
    """All that the caller allows; None: it does not say."""

    @property
    def tokens(self) -> int:
        """What must fit in a context window."""
        return self.input_tokens + (self.output_tokens or 0)


NO_NEEDS: Final = Needs(capabilities=frozenset(), input_tokens=0, output_tokens=None)
"""Of a request that was not looked at, as its needs decide nothing."""


def needs_of(request: ChatRequest, matter: frozenset[str] = CAPABILITIES) -> Needs:
    """`matter`: the capabilities to look for; to look for none of them costs nothing."""
    fields = request.fields
    if not matter:
        output = bound_output(fields).tokens
        return Needs(capabilities=matter, input_tokens=_input_tokens(fields), output_tokens=output)
    wanted = {TOOLS for name in ("tools", "functions") if bytes(fields.get(name, _ABSENT)) not in _NOTHING}
    if b'"json_schema"' in bytes(fields.get("response_format", _ABSENT)):
        wanted.add(JSON_SCHEMA)
    messages = fields.get("messages", _ABSENT)
    text = bytes(messages)
    if any(part in text for part in _PARTS):
        wanted.update(_OF_PARTS[kind] for kind in kinds_in(messages))
    return Needs(
        capabilities=matter & wanted, input_tokens=_input_tokens(fields), output_tokens=bound_output(fields).tokens
    )


def _input_tokens(fields: Mapping[str, Raw]) -> int:
    return estimate_tokens(sum(len(fields[name]) for name in ("messages", "tools", "functions") if name in fields))
