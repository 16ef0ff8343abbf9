"""Read the little of a chat request that the router must know, and write it for the upstream otherwise unchanged."""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.faults import Fault, Refusal
from router.domain.scoped import without_scoped
from router.domain.stream import Event, EventKind, ReplyMode

_fields: Final = msgspec.json.Decoder(dict[str, Raw])
_name: Final = msgspec.json.Decoder(str)
_flag: Final = msgspec.json.Decoder(bool | None)
_encoder: Final = msgspec.json.Encoder()

DESTINATION_FIELDS: Final = ("api_base", "base_url", "api_key", "extra_headers")
"""Fields with which litellm's callers choose where a request goes. Here only the operator does."""

MAX_TOKENS_FIELDS: Final = ("max_completion_tokens", "max_tokens")
"""How a caller may say how long each choice of its reply may get; the first is OpenAI's present name."""

_MODEL_CHARS_MAX: Final = 256
_YES: Final = Raw(b"true")
_ABSENT: Final = Raw(b"null")


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's request: every member as the bytes it came in, in the caller's order."""

    fields: dict[str, Raw]
    model: str
    mode: ReplyMode
    wants_usage: bool
    """The caller asked for the usage chunk at the end of its stream."""
    size: int
    """Bytes of the body."""


def read_chat_request(body: bytes | bytearray) -> ChatRequest | Refusal:
    """Read a body. Of a top-level member that comes twice the last one counts, and only it is sent on."""
    try:
        fields = _fields.decode(body)
    except msgspec.ValidationError:
        return _invalid("The body must be a JSON object. Send an object with `model` and `messages`.")
    except (msgspec.DecodeError, RecursionError) as exc:
        return _invalid(f"The body is not valid JSON ({_reason(exc)}). Send RFC 8259 JSON.")
    for name in DESTINATION_FIELDS:
        if name in fields:
            return Refusal(
                fault=Fault.UNSUPPORTED_PARAMETER,
                message=f"`{name}` cannot be set by a request: where it goes is configured in the router. Remove it.",
                param=name,
            )
    model = _text(fields.get("model", _ABSENT))
    if not model or len(model) > _MODEL_CHARS_MAX:
        return _invalid("`model` must be a name. See GET /v1/models for yours.", "model")
    if bytes(fields.get("messages", _ABSENT))[:1] != b"[":
        return _invalid("`messages` must be an array of messages.", "messages")
    try:
        stream = _flag.decode(fields.get("stream", _ABSENT))
    except msgspec.DecodeError:
        return _invalid("`stream` must be true, false or null.", "stream")
    options = _options(fields)
    if options is None:
        return _invalid("`stream_options` must be an object or null.", "stream_options")
    return ChatRequest(
        fields=fields,
        model=model,
        mode=ReplyMode.STREAM if stream else ReplyMode.UNARY,
        wants_usage=bytes(options.get("include_usage", _ABSENT)) == b"true",
        size=len(body),
    )


def upstream_body(
    request: ChatRequest,
    upstream_model: str,
    write_max_tokens: tuple[str, int] | None = None,
    leave_out: Iterable[str] = (),
) -> bytes:
    """Write the request for one deployment: its model name, and on a stream a request for the usage.

    `write_max_tokens` is a member and its number; the one member stands for all in which the caller said as much.
    `leave_out`: members that were meant for the router.
    """
    fields = dict(request.fields)
    for name in leave_out:
        fields.pop(name, None)
    if write_max_tokens is not None:
        fields = _limit(fields, *write_max_tokens)
    fields["model"] = Raw(_encoder.encode(upstream_model))
    if request.mode is ReplyMode.STREAM and not request.wants_usage:
        options = dict(_options(fields) or {})
        options["include_usage"] = _YES
        fields["stream_options"] = Raw(_encoder.encode(options))
    return _encoder.encode(fields)


def for_another_provider(request: ChatRequest) -> ChatRequest:
    """Return the request without what only the provider that wrote it can read."""
    messages = without_scoped(request.fields["messages"])
    return msgspec.structs.replace(request, fields={**request.fields, "messages": messages})


def restamp_event(event: Event, model: str) -> Event:
    """Put the caller's name for the model into a reply or a chunk; anything else is left as it came."""
    if event.kind is EventKind.COMPLETE:
        return Event(event.kind, _restamp(event.raw, model))
    if event.kind is EventKind.CHUNK:
        return Event(event.kind, b"data: " + _restamp(event.raw[5:].strip(), model) + b"\n\n")
    return event


def _restamp(raw: bytes, model: str) -> bytes:
    try:
        fields = _fields.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw
    if "model" not in fields:
        return raw
    fields["model"] = Raw(_encoder.encode(model))
    return _encoder.encode(fields)


def _limit(fields: dict[str, Raw], name: str, tokens: int) -> dict[str, Raw]:
    """Put the limit in the place of the first member that says one, and nowhere else; at the end if none does."""
    written: dict[str, Raw] = {}
    value = Raw(b"%d" % tokens)
    for key, raw in fields.items():
        if key in MAX_TOKENS_FIELDS:
            written[name] = value
        else:
            written[key] = raw
    written[name] = value  # keeps its place if it has one
    return written


def _options(fields: dict[str, Raw]) -> dict[str, Raw] | None:
    """Return `stream_options`, empty when absent or null; None when it is something else."""
    raw = fields.get("stream_options", _ABSENT)
    if bytes(raw) == b"null":
        return {}
    try:
        return _fields.decode(raw)
    except msgspec.DecodeError:
        return None


def _text(raw: Raw) -> str:
    try:
        return _name.decode(raw)
    except msgspec.DecodeError:
        return ""


def _reason(exc: Exception) -> str:
    """Say what is wrong with a text without quoting it: decoder messages carry a position, never content."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    return str(exc).removeprefix("JSON is malformed: ").replace("Input data", "a string or the text")


def _invalid(message: str, param: str | None = None) -> Refusal:
    return Refusal(fault=Fault.INVALID_REQUEST, message=message, param=param)
