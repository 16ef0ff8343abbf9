"""Read of a request what the scripted provider reacts to, and decide which tool it calls."""

from typing import Final, TypeVar

import msgspec

Shape = TypeVar("Shape")

CHOICES_MAX: Final = 128
_ARGUMENT_CHARS_MAX: Final = 200
_INVALID_CHARS_MAX: Final = 200


class _Part(msgspec.Struct):
    text: str = ""


class Message(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return " ".join(part.text for part in self.content)
        return self.content or ""


class _Property(msgspec.Struct):
    type: str | list[str] = "string"


class _Parameters(msgspec.Struct):
    properties: dict[str, _Property] = {}
    required: list[str] = []


class Tool(msgspec.Struct):
    name: str
    parameters: _Parameters | None = None


class _ToolEntry(msgspec.Struct):
    function: Tool | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Schema(msgspec.Struct):
    schema: _Parameters | None = None


class _Format(msgspec.Struct):
    type: str = ""
    json_schema: _Schema | None = None


class ChatRequest(msgspec.Struct):
    messages: list[Message]
    model: str = ""
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[_ToolEntry] | None = None
    tool_choice: str | _ToolEntry | None = None
    stream_options: StreamOptions | None = None
    response_format: _Format | None = None

    @property
    def choices(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def output_tokens_max(self) -> int | None:
        limit = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        return None if limit is None else max(limit, 0)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage is True


_decoder: Final = msgspec.json.Decoder(ChatRequest)


def read_request(body: bytes) -> ChatRequest:
    """Raises ValueError, with words for the caller."""
    request = decode_request(_decoder, body)
    if not request.messages:
        raise ValueError("messages must not be empty")
    if not 1 <= request.choices <= CHOICES_MAX:
        raise ValueError(f"n must be between 1 and {CHOICES_MAX}")
    return request


def decode_request(decoder: "msgspec.json.Decoder[Shape]", body: bytes) -> Shape:
    """Raises ValueError, with words for the caller."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(str(exc)[:_INVALID_CHARS_MAX]) from exc


def texts_of(said: str | list[str | int | list[int]], name: str) -> list[str]:
    """Return the texts of a member that is one text or array of tokens, or a list of them; tokens as numbers.

    Raises ValueError, with words for the caller.
    """
    if isinstance(said, str):
        return [said]
    tokens = [one for one in said if isinstance(one, int)]
    if tokens and len(tokens) == len(said):
        return [_in_words(tokens)]
    if tokens or not said:
        raise ValueError(f"{name} must be a text or an array of tokens, or an array of these")
    return [one if isinstance(one, str) else _in_words(one) for one in said if not isinstance(one, int)]


def _in_words(tokens: list[int]) -> str:
    return " ".join(map(str, tokens))


def called_tool(request: ChatRequest) -> Tool | None:
    """Call a tool that the user names or that the caller requires, and never in answer to a tool's result."""
    last = request.messages[-1]
    tools = [entry.function for entry in request.tools or () if entry.function is not None]
    choice = request.tool_choice
    if not tools or last.role != "user" or choice == "none":
        return None
    if isinstance(choice, _ToolEntry):
        wanted = choice.function.name if choice.function is not None else ""
        return next((tool for tool in tools if tool.name == wanted), None)
    named = next((tool for tool in tools if tool.name in last.text), None)
    return named or (tools[0] if choice == "required" else None)


def json_reply(request: ChatRequest) -> str | None:
    """Return a reply that fits the schema that the caller asked for; None if it may be any text."""
    form = request.response_format
    if form is None or form.type not in ("json_schema", "json_object"):
        return None
    schema = form.json_schema.schema if form.json_schema is not None else None
    return _fitting(schema or _Parameters(), request.messages[-1].text)


def tool_arguments(tool: Tool, text: str) -> str:
    """Write arguments that fit the required parameters of a flat schema: the user's words, or ones."""
    return _fitting(tool.parameters or _Parameters(), text)


def _fitting(parameters: _Parameters, text: str) -> str:
    written = []
    for name in parameters.required:
        kind = parameters.properties.get(name, _Property()).type
        value = _VALUES.get(kind if isinstance(kind, str) else next(iter(kind), ""))
        if value is None:
            value = msgspec.json.encode(text[:_ARGUMENT_CHARS_MAX]).decode()
        written.append(f"{msgspec.json.encode(name).decode()}: {value}")
    return "{" + ", ".join(written) + "}"


_VALUES: Final = {"integer": "1", "number": "1", "boolean": "true", "array": "[]", "object": "{}", "null": "null"}
