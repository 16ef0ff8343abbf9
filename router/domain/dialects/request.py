"""Read the little of a request that the router must know, and write it for the upstream otherwise unchanged."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.dialects.dialect import Grammar
from router.domain.dialects.form import Form
from router.domain.faults import Fault, Refusal
from router.domain.stream import ReplyMode

_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_name: Final = msgspec.json.Decoder(str)
_flag: Final = msgspec.json.Decoder(bool | None)
_encoder: Final = msgspec.json.Encoder()

DESTINATION_FIELDS: Final = ("api_base", "base_url", "api_key", "extra_headers")
"""Fields with which litellm's callers choose where a request goes. Here only the operator does."""

_MODEL_CHARS_MAX: Final = 256
_YES: Final = Raw(b"true")
_ABSENT: Final = Raw(b"null")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's request: every member as the bytes it came in, in the caller's order."""

    grammar: Grammar
    fields: dict[str, Raw]
    model: str
    mode: ReplyMode
    wants_usage: bool
    """The caller asked for the usage at the end of its stream, or its dialect always tells."""
    size: int
    """Bytes of the body; of a form without its files."""
    form: Form | None = None
    """What `fields` was read from, when it was no JSON: these bytes are sent on."""
    limit_is_ours: bool = False
    """The maximum of the reply was written for a caller that named none."""
    dropped: tuple[str, ...] = ()
    """Members that were left out because the dialect it was put into cannot say them, as the caller asked."""


def read_request(grammar: Grammar, body: bytes | bytearray) -> Request | Refusal:
    """Read a body. Of a top-level member that comes twice the last one counts, and only it is sent on."""
    try:
        if not body.isascii():  # the decoder skips what it leaves as bytes, and each later reader would stumble over it
            body.decode()
        fields = _fields.decode(body)
    except msgspec.ValidationError:
        return _invalid(f"The body must be a JSON object. Send an object with `model` and `{grammar.content}`.")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        return _invalid(f"The body is not valid JSON ({_reason(exc)}). Send RFC 8259 JSON.")
    return request_of(grammar, fields, size=len(body))


def request_of(grammar: Grammar, fields: dict[str, Raw], *, size: int, form: Form | None = None) -> Request | Refusal:
    """Make a request of its members, however they were written."""
    for name in DESTINATION_FIELDS:
        if name in fields:
            return Refusal(
                fault=Fault.UNSUPPORTED_PARAMETER,
                message=f"`{name}` cannot be set by a request: where it goes is configured in the router. Remove it.",
                param=name,
            )
    try:
        model = _name.decode(fields.get("model", _ABSENT))
    except msgspec.DecodeError:
        model = ""
    if (not model and (grammar.needs_model or "model" in fields)) or len(model) > _MODEL_CHARS_MAX:
        return _invalid("`model` must be a name. See GET /v1/models for yours.", "model")
    content = grammar.content
    said = content in fields or grammar.needs_content
    if said and memoryview(fields.get(content, _ABSENT))[0] not in grammar.content_openers:
        return _invalid(f"`{content}` must be {grammar.content_words}.", content)
    try:
        stream = _flag.decode(fields.get("stream", _ABSENT))
    except msgspec.DecodeError:
        return _invalid("`stream` must be true, false or null.", "stream")
    if stream and not grammar.streams:
        return _invalid("This route does not stream. Leave `stream` out.", "stream")
    wants_usage = not grammar.asks_usage
    if grammar.asks_usage and "stream_options" in fields:
        options = _options(fields)
        if options is None:
            return _invalid("`stream_options` must be an object or null.", "stream_options")
        wants_usage = bytes(options.get("include_usage", _ABSENT)) == b"true"
    return Request(
        grammar=grammar,
        fields=fields,
        model=model,
        mode=ReplyMode.STREAM if stream else ReplyMode.UNARY,
        wants_usage=wants_usage,
        size=size,
        form=form,
    )


def upstream_body(request: Request, upstream_model: str, write_max_tokens: tuple[str, int] | None = None) -> bytes:
    """Write the request for one deployment: its model name, and on a stream a request for the usage.

    `write_max_tokens` is a member and its number; the one member stands for all in which the caller said as much.
    """
    grammar = request.grammar
    if request.form is not None:
        return request.form.named(upstream_model)
    fields = dict(request.fields)
    if write_max_tokens is not None:
        fields = _limit(grammar, fields, *write_max_tokens)
    fields["model"] = Raw(_encoder.encode(upstream_model))
    if grammar.asks_usage and request.mode is ReplyMode.STREAM and not request.wants_usage:
        options = dict(_options(fields) or {})
        options["include_usage"] = _YES
        fields["stream_options"] = Raw(_encoder.encode(options))
    return _encoder.encode(fields)


def _limit(grammar: Grammar, fields: Mapping[str, Raw], name: str, tokens: int) -> dict[str, Raw]:
    """Put the limit in the place of the first member that says one, and nowhere else; at the end if none does."""
    written: dict[str, Raw] = {}
    value = Raw(b"%d" % tokens)
    for key, raw in fields.items():
        if key in grammar.max_tokens:
            written[name] = value
        else:
            written[key] = raw
    written[name] = value  # keeps its place if it has one
    return written


def _options(fields: Mapping[str, Raw]) -> dict[str, Raw] | None:
    """Return `stream_options`, empty when absent or null; None when it is something else."""
    raw = fields.get("stream_options", _ABSENT)
    if bytes(raw) == b"null":
        return {}
    try:
        return _fields.decode(raw)
    except msgspec.DecodeError:
        return None


def _reason(exc: Exception) -> str:
    """Say what is wrong with a text without quoting it: decoder messages carry a position, never content."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if isinstance(exc, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(exc).removeprefix("JSON is malformed: ").replace("Input data", "a string or the text")


def _invalid(message: str, param: str | None = None) -> Refusal:
    return Refusal(fault=Fault.INVALID_REQUEST, message=message, param=param)
