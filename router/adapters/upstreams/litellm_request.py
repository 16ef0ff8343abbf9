"""Turn a chat request into arguments for litellm, none of which lets a caller steer it.

litellm takes its own controls (where to send a call, with which key, whom to ask instead, what to pretend) among the
members of a request, and every release knows more of them. So members pass by name: what is not in the table does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from router.domain.stream import ReplyMode

MEMBERS: Final = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "safety_settings",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
"""Members of a chat request that litellm translates; among them a few of Google's and Anthropic's own."""

_BEYOND_OPENAI: Final = frozenset({"safety_settings", "top_k"})
"""litellm passes them to the provider without saying whether it knows them."""
_ALWAYS: Final = frozenset({"function_call", "messages", "model", "stream", "stream_options", "user"})

_TEXT_PARTS: Final = ("text", "refusal", "thinking", "redacted_thinking")
_URL_CHARS_MAX: Final = 64
_DEPTH_MAX: Final = 32
_TOOL_KINDS_REFUSED: Final = ("mcp",)
"""litellm would speak to such a tool's server itself."""

_decode: Final = msgspec.json.Decoder(dict[str, object]).decode


class Unsupported(Exception):
    """The provider's dialect cannot express a member, or nobody may ask for it here."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class Arguments(msgspec.Struct, frozen=True, kw_only=True):
    fields: dict[str, object]
    dropped: tuple[str, ...]
    """Members that were left out, because the operator or the caller has said `drop_params`."""


def arguments_of(body: bytes, *, mode: ReplyMode, model: str, supported: Sequence[str] | None, drop: bool) -> Arguments:
    """Return the arguments that come from the caller. Raises `Unsupported`."""
    try:
        asked = {name: value for name, value in _decode(body).items() if value is not None}
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Unsupported("The body must be a JSON object that is not nested too deeply.", "messages") from exc
    known = MEMBERS if supported is None else _ALWAYS | _BEYOND_OPENAI | (MEMBERS & frozenset(supported))
    lacking = tuple(name for name in asked if name not in known)
    if lacking and not drop:
        names = ", ".join(f"`{name}`" for name in lacking)
        words = f"{names} cannot be expressed for {model}. Leave it out, or set `drop_params`."
        raise Unsupported(words, lacking[0])
    _check_content(asked.get("messages"))
    _check_tools(asked.get("tools"))
    fields = {name: value for name, value in asked.items() if name in known}
    fields.pop("stream", None)
    fields.pop("stream_options", None)
    if mode is ReplyMode.STREAM:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return Arguments(fields=fields, dropped=lacking)


def _check_content(messages: object) -> None:
    """Refuse addresses: litellm fetches what they name, from inside the operator's network or with their rights."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Unsupported("`messages` must be an array of objects.", "messages")
    for index, message in enumerate(messages):
        parts = message.get("content")
        for at, part in enumerate(parts if isinstance(parts, list) else ()):
            if isinstance(part, dict) and part.get("type") in _TEXT_PARTS:
                continue
            if any(_is_address(text) for text in _texts(part, _DEPTH_MAX)):
                where = f"messages[{index}].content[{at}]"
                raise Unsupported(f"`{where}` holds an address. Send the content itself, as a `data:` URL.", where)


def _is_address(text: str) -> bool:
    start = text[:_URL_CHARS_MAX].lstrip().lower()
    return "://" in start and not start.startswith("data:")


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _texts(inner, depth - 1)
    elif not depth:
        raise Unsupported("`messages` are nested too deeply.", "messages")


def _check_tools(tools: object) -> None:
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") in _TOOL_KINDS_REFUSED:
            where = f"tools[{index}].type"
            raise Unsupported(f"`{where}` asks for a server to be called, which the router does not do.", where)
