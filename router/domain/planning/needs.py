"""Say what a request asks of the deployment that serves it."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.dialect import Dialect, Grammar
from router.domain.dialects.request import Request
from router.domain.governance.input_bound import PartKind, bound_output, kinds_in
from router.domain.usage import estimate_tokens

TOOLS: Final = "tools"
JSON_SCHEMA: Final = "json_schema"
CAPABILITIES: Final = frozenset({TOOLS, JSON_SCHEMA, "vision", "audio_input", "pdf_input"})
"""What a request can ask for. A deployment may claim more, which is then only shown."""

_OF_PARTS: Final = {PartKind.IMAGE: "vision", PartKind.AUDIO: "audio_input", PartKind.FILE: "pdf_input"}
_TOOLS: Final = ("tools", "functions")
_FORMATS: Final = ("response_format", "text", "output_format", "output_config")
"""Members in which the dialects ask for a reply of a certain form."""
_PARTS: Final = (b"image", b"audio", b"file", b"document")
"""One of these is in every request that holds such a part; nearly all are let go without being read."""
_NOTHING: Final = (b"null", b"[]", b"{}")
_ABSENT: Final = Raw(b"null")


class Needs(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    dialect: Dialect
    capabilities: frozenset[str]
    input_tokens: int
    """An estimate and no bound: who guesses high refuses the healthy."""
    output_tokens: int | None
    """All that the caller allows; None: it does not say."""
    tokens: int
    """What must fit in a context window: nothing that is known of a batch, whose pieces are read one by one."""


NO_NEEDS: Final = {
    one: Needs(dialect=one, capabilities=frozenset(), input_tokens=0, output_tokens=None, tokens=0) for one in Dialect
}
"""Of a request that was not looked at, as its needs decide nothing, by its dialect."""


def needs_of(request: Request, matter: frozenset[str] = CAPABILITIES) -> Needs:
    """`matter`: the capabilities to look for; to look for none of them costs nothing."""
    grammar, fields = request.grammar, request.fields
    input_tokens = estimate_tokens(sum([len(fields[name]) for name in grammar.prompt if name in fields]))
    output_tokens = bound_output(grammar, fields).tokens
    return Needs(
        dialect=grammar.dialect,
        capabilities=matter & _wanted(grammar, fields) if matter else matter,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        tokens=input_tokens + (output_tokens or 0) if grammar.generates else 0,
    )


def _wanted(grammar: Grammar, fields: Mapping[str, Raw]) -> set[str]:
    wanted = {TOOLS for name in _TOOLS if bytes(fields.get(name, _ABSENT)) not in _NOTHING}
    if any(b'"json_schema"' in bytes(fields.get(name, _ABSENT)) for name in _FORMATS):
        wanted.add(JSON_SCHEMA)
    text = bytes(fields.get(grammar.content, _ABSENT))
    if any(part in text for part in _PARTS):
        wanted.update(_OF_PARTS[kind] for kind in kinds_in(grammar, fields))
    return wanted
