"""Put a request of Chat Completions into Messages and back.

What each side cannot say is in one table a direction. Where a translation is not exact, it is the nearest: system
messages lose their place, the name of a schema is made up on the way to chat, a thought between two texts goes first.
"""

import re
from typing import Final

from msgspec import Raw

from router.domain.dialects.dialect import CHAT
from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.history_from_chat import history_from_chat
from router.domain.dialects.messages.history_to_chat import history_to_chat
from router.domain.dialects.messages.thinking import effort_to_chat, efforts_of, thinking_from_chat
from router.domain.dialects.messages.tools import choice_from_chat, choice_to_chat, tools_from_chat, tools_to_chat
from router.domain.dialects.raw_json import (
    NULL,
    TRUE,
    Fields,
    encode,
    is_text,
    present,
    read_number,
    read_object,
    read_text,
    read_texts,
    read_type,
)
from router.domain.dialects.translation import Translated, Untranslatable

_CHAT_READ: Final = frozenset(
    {"model", "messages", "stream", "temperature", "top_p", "top_k", "stop", "tools", "tool_choice", "user"}
    | {"parallel_tool_calls", "safety_identifier", "reasoning_effort", "thinking", "response_format", "service_tier"}
    | {"cache_control", *CHAT.max_tokens}
)
_CHAT_UNSAID: Final = {
    "stream_options": "Messages always ends a stream with its usage",
    "metadata": "labels of a stored completion; nothing reads them",
    "prompt_cache_key": "a hint where to look for a cached prompt",
    "prompt_cache_retention": "how long to keep one",
    "prompt_cache_options": "how to keep one",
    "prediction": "makes an expected reply faster, not another",
}
"""Members without a counterpart that change no reply, and why."""

_CHAT_DEFAULTS: Final = {
    "n": (b"1",),
    "store": (b"false",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "logit_bias": (b"{}",),
    "frequency_penalty": (b"0", b"0.0"),
    "presence_penalty": (b"0", b"0.0"),
    "modalities": (b'["text"]',),
    "verbosity": (b'"medium"',),
}
_CHAT_KNOWN: Final = _CHAT_READ | _CHAT_UNSAID.keys()

_MESSAGES_READ: Final = frozenset(
    {"model", "messages", "system", "stream", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "tools"}
    | {"tool_choice", "metadata", "thinking", "output_config", "output_format", "service_tier"}
)
_MESSAGES_UNSAID: Final = {"cache_control": "a hint what of the prompt to cache"}
_MESSAGES_DEFAULTS: Final = {"mcp_servers": (b"[]",)}
_MESSAGES_KNOWN: Final = _MESSAGES_READ | _MESSAGES_UNSAID.keys()

_AS_THEY_ARE: Final = ("model", "stream", "temperature", "top_p", "top_k")
_TEMPERATURE_MAX: Final = 1
_TIER_FROM_CHAT: Final = {"auto": "auto", "priority": "auto", "default": "standard_only"}
_TIER_TO_CHAT: Final = {"auto": "auto", "standard_only": "default"}
_FORMAT: Final = frozenset({"type", "schema"})
_CHAT_SCHEMA: Final = frozenset({"name", "schema", "strict"})
_SCHEMA_NAME: Final = "reply"
"""Chat Completions wants a name, Messages has none."""
_OUTPUT_CONFIG: Final = frozenset({"effort", "format"})
_METADATA: Final = frozenset({"user_id"})
_PERSONAL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+[\d\s()-]{7,}")
"""Messages refuses calls whose user id is an address or a telephone number."""


def from_chat(fields: Fields, *, drop: bool, max_tokens_default: int, model: str = "") -> Translated | Untranslatable:
    """Translate a Chat Completions request to Messages.

    `max_tokens_default`: tokens, for callers that name no maximum; Messages wants one.
    `model`: whose name tells whether it thinks by an effort or by a budget.
    """
    losses = Losses(dialect="Messages", drop=drop)
    try:
        losses.lose_unknown(fields, _CHAT_KNOWN, "", _CHAT_DEFAULTS)
        written = _carried(fields)
        system, messages = history_from_chat(fields.get("messages", NULL), losses)
        if system is not None:
            written["system"] = system
        written["messages"] = messages
        maximum = next((raw for name in CHAT.max_tokens if (raw := present(fields, name)) is not None), None)
        written["max_tokens"] = encode(max_tokens_default) if maximum is None else maximum
        _sampling_from_chat(fields, written, losses)
        _tools_from_chat(fields, written, losses)
        config: dict[str, Raw] = {}
        thinking, effort = thinking_from_chat(
            fields, read_number(written["max_tokens"], "max_tokens"), efforts=efforts_of(model), losses=losses
        )
        if thinking is not None:
            written["thinking"] = thinking
        if effort is not None:
            config["effort"] = encode(effort)
        shape = _format_from_chat(fields, losses)
        if shape is not None:
            config["format"] = shape
        if config:
            written["output_config"] = encode(config)
        _bookkeeping_from_chat(fields, written, losses)
    except Unsayable as reason:
        return Untranslatable(reason.param, reason.message)
    return Translated(written, losses.names)


def to_chat(fields: Fields, *, drop: bool, extended: bool = False) -> Translated | Untranslatable:
    """Translate a Messages request to Chat Completions.

    `extended`: whoever reads it knows what litellm added to that dialect, so this is kept.
    """
    losses = Losses(dialect="Chat Completions", drop=drop, extended=extended)
    try:
        losses.lose_unknown(fields, _MESSAGES_KNOWN, "", _MESSAGES_DEFAULTS)
        written = _carried(fields)
        written["messages"] = history_to_chat(present(fields, "system"), fields.get("messages", NULL), losses)
        maximum = present(fields, "max_tokens")
        if maximum is not None:
            written[CHAT.max_tokens[0]] = maximum
        stops = present(fields, "stop_sequences")
        if stops is not None and read_texts(stops, "stop_sequences"):
            written["stop"] = stops
        tools = present(fields, "tools")
        if tools is not None:
            written["tools"] = tools_to_chat(tools, losses)
        choice = present(fields, "tool_choice")
        if choice is not None:
            written.update(choice_to_chat(choice, losses))
        config = read_object(present(fields, "output_config") or Raw(b"{}"), "output_config")
        losses.lose_unknown(config, _OUTPUT_CONFIG, "output_config")
        effort = effort_to_chat(present(fields, "thinking"), present(config, "effort"), losses)
        if effort is not None:
            written["reasoning_effort"] = encode(effort)
        _format_to_chat(fields, config, written, losses)
        _bookkeeping_to_chat(fields, written, losses)
    except Unsayable as reason:
        return Untranslatable(reason.param, reason.message)
    return Translated(written, losses.names)


def _carried(fields: Fields) -> dict[str, Raw]:
    return {name: value for name in _AS_THEY_ARE if (value := present(fields, name)) is not None}


def _sampling_from_chat(fields: Fields, written: dict[str, Raw], losses: Losses) -> None:
    temperature = written.get("temperature")
    if temperature is not None and read_number(temperature, "temperature") > _TEMPERATURE_MAX:
        losses.lose("temperature", f"Messages takes a temperature up to {_TEMPERATURE_MAX}. Lower it.")
        del written["temperature"]
    stop = present(fields, "stop")
    if stop is None:
        return
    texts = [read_text(stop, "stop")] if is_text(stop) else read_texts(stop, "stop")
    if any(not text.strip() for text in texts):
        losses.lose("stop", "Messages does not stop at white space alone. Name other texts.")
        texts = [text for text in texts if text.strip()]
    if texts:
        written["stop_sequences"] = encode(texts)


def _tools_from_chat(fields: Fields, written: dict[str, Raw], losses: Losses) -> None:
    tools = present(fields, "tools")
    if tools is not None:
        written["tools"] = tools_from_chat(tools, losses)
    choice = choice_from_chat(
        present(fields, "tool_choice"),
        present(fields, "parallel_tool_calls"),
        has_tools=tools is not None,
        losses=losses,
    )
    if choice is not None:
        written["tool_choice"] = choice


def _format_from_chat(fields: Fields, losses: Losses) -> Raw | None:
    """Return the `format` of `output_config`. The name of a schema is a label, and its reply is always held to it."""
    raw = present(fields, "response_format")
    if raw is None:
        return None
    shape = read_object(raw, "response_format")
    kind = read_type(shape, "response_format")
    if kind == "text":
        return None
    if kind != "json_schema":
        losses.lose("response_format.type", f"Messages has no reply of type `{kind}`. Use json_schema.")
        return None
    where = "response_format.json_schema"
    schema = read_object(shape.get("json_schema", NULL), where)
    losses.lose_unknown(schema, _CHAT_SCHEMA, where)
    return encode({"type": "json_schema", "schema": present(schema, "schema") or Raw(b"{}")})


def _format_to_chat(fields: Fields, config: Fields, written: dict[str, Raw], losses: Losses) -> None:
    where = "output_config.format"
    raw = present(config, "format")
    if raw is None:
        where = "output_format"  # its name while it was new
        raw = present(fields, where)
    if raw is None:
        return
    shape = read_object(raw, where)
    losses.lose_unknown(shape, _FORMAT, where)
    kind = read_type(shape, where)
    if kind != "json_schema":
        losses.lose(f"{where}.type", f"Chat Completions has no reply of type `{kind}`. Use json_schema.")
        return
    schema = {"name": _SCHEMA_NAME, "schema": shape.get("schema", NULL), "strict": TRUE}
    written["response_format"] = encode({"type": "json_schema", "json_schema": schema})


def _bookkeeping_from_chat(fields: Fields, written: dict[str, Raw], losses: Losses) -> None:
    cache_control = present(fields, "cache_control")
    if cache_control is not None:
        written["cache_control"] = cache_control
    user = present(fields, "safety_identifier") or present(fields, "user")
    if user is not None and not _PERSONAL.fullmatch(read_text(user, "user")):
        written["metadata"] = encode({"user_id": user})
    tier = present(fields, "service_tier")
    if tier is not None:
        said = read_text(tier, "service_tier")
        if said in _TIER_FROM_CHAT:
            written["service_tier"] = encode(_TIER_FROM_CHAT[said])
        else:
            losses.lose("service_tier", "Messages has no service tier like that. Use auto or default.")


def _bookkeeping_to_chat(fields: Fields, written: dict[str, Raw], losses: Losses) -> None:
    metadata = read_object(present(fields, "metadata") or Raw(b"{}"), "metadata")
    losses.lose_unknown(metadata, _METADATA, "metadata")
    user = present(metadata, "user_id")
    if user is not None:
        written["user"] = user
    tier = present(fields, "service_tier")
    if tier is not None:
        said = read_text(tier, "service_tier")
        if said in _TIER_TO_CHAT:
            written["service_tier"] = encode(_TIER_TO_CHAT[said])
        else:
            losses.lose("service_tier", "Chat Completions has no service tier like that. Use auto or standard_only.")
