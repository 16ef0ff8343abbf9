"""Put a request for `/v1/responses` into Chat Completions, and the other way round.

Nobody stores a translated reply: `store` is accepted, and the reply says `"store":false`. What refers to something
stored, or asks for work in the background, is refused even if the caller asked that members are dropped: without it the
request would be another one.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable, asks_nothing
from router.domain.dialects.raw_json import FALSE, NULL, TRUE, encode, read_list, read_present, read_text, without_nulls
from router.domain.dialects.responses.input import messages_of
from router.domain.dialects.responses.items import items_of
from router.domain.dialects.responses.tools import (
    choice_from_chat,
    choice_to_chat,
    format_from_chat,
    format_to_chat,
    tools_from_chat,
    tools_to_chat,
)
from router.domain.dialects.translation import Translated, Untranslatable

_ALIKE: Final = (
    "model",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "stream",
    "temperature",
    "top_p",
    "user",
)
"""Members that both dialects say with the same name and value."""

_TO_CHAT: Final[Mapping[str, str]] = {name: name for name in _ALIKE} | {"max_output_tokens": "max_completion_tokens"}
_FROM_CHAT: Final[Mapping[str, str]] = {name: name for name in (*_ALIKE, "metadata", "store")} | {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
}

_NOT_FOR_CHAT: Final[Mapping[str, str]] = {
    "client_metadata": "it is for OpenAI's own records",
    "include": "read with `top_logprobs`; the rest is of tools and thoughts that a chat does not have",
    "input": "read with `instructions`",
    "instructions": "the first message",
    "max_tool_calls": "it counts calls of hosted tools, and those are refused",
    "metadata": "a note on the stored reply; ours repeats it",
    "store": "see above",
    "stream_options": "it pads events, and ours are not padded",
}
"""Members that are not written, or not by themselves, though the reply is the same without."""
_NEEDS_STORE: Final[Mapping[str, str]] = {
    "background": "nobody would hold the reply until it is asked for",
    "conversation": "it is not stored here",
    "previous_response_id": "that reply is not stored here",
    "prompt": "it is not stored here",
}
_NOT_FOR_RESPONSES: Final[Mapping[str, str]] = {
    "logprobs": "read with `top_logprobs`",
    "messages": "the input",
    "prediction": "it makes a reply faster, not another one",
    "stream_options": "usage always comes",
}
_SAYS_NOTHING: Final[Mapping[str, tuple[bytes, ...]]] = {
    "background": (b"false",),
    "frequency_penalty": (b"0", b"0.0"),
    "functions": (b"[]",),
    "logit_bias": (b"{}",),
    "modalities": (b'["text"]',),
    "n": (b"1",),
    "presence_penalty": (b"0", b"0.0"),
    "stop": (b"[]",),
    "truncation": (b'"disabled"',),
}
"""Values that say what is so anyway."""

_TEXT: Final = frozenset({"format", "verbosity"})
_REASONING: Final = frozenset({"effort", "summary", "generate_summary", "context"})
_INCLUDED: Final = "message.output_text.logprobs"
_Writer = Callable[[Raw, dict[str, Raw], Losses], None]


def to_chat(fields: Mapping[str, Raw], *, drop: bool) -> Translated | Untranslatable:
    """Put a request for a response into Chat Completions."""
    losses = Losses(dialect="Chat Completions", drop=drop)
    try:
        return Translated(_to_chat(without_nulls(dict(fields)), losses), losses.names)
    except Unsayable as reason:
        return Untranslatable(reason.param, reason.message)


def from_chat(fields: Mapping[str, Raw], *, drop: bool) -> Translated | Untranslatable:
    """Put a chat request into Responses. What it does not say is not stored there: so it is in Chat Completions."""
    losses = Losses(dialect="Responses", drop=drop)
    try:
        return Translated(_from_chat(without_nulls(dict(fields)), losses), losses.names)
    except Unsayable as reason:
        return Untranslatable(reason.param, reason.message)


def _to_chat(fields: dict[str, Raw], losses: Losses) -> dict[str, Raw]:
    chat: dict[str, Raw] = {}
    for name, raw in fields.items():
        if name in _TO_CHAT:
            chat[_TO_CHAT[name]] = raw
        elif name in _CHAT_WRITERS:
            _CHAT_WRITERS[name](raw, chat, losses)
        elif name not in _NOT_FOR_CHAT and not asks_nothing(name, raw, _SAYS_NOTHING):
            if name in _NEEDS_STORE:
                raise losses.never(name, _NEEDS_STORE[name])
            losses.lose(name)
    chat["messages"] = messages_of(fields.get("instructions", NULL), fields.get("input", NULL), losses)
    included = _included(fields.get("include", Raw(b"[]")), losses)
    if included or chat.get("top_logprobs", Raw(b"0")) != Raw(b"0"):
        chat["logprobs"] = TRUE
    else:
        chat.pop("top_logprobs", None)
    if fields.get("stream") == TRUE:
        chat["stream_options"] = Raw(b'{"include_usage":true}')
    _forget_choice(chat)
    return chat


def _from_chat(fields: dict[str, Raw], losses: Losses) -> dict[str, Raw]:
    responses: dict[str, Raw] = {}
    for name, raw in fields.items():
        if name in _FROM_CHAT:
            responses[_FROM_CHAT[name]] = raw
        elif name in _RESPONSES_WRITERS:
            _RESPONSES_WRITERS[name](raw, responses, losses)
        elif name not in _NOT_FOR_RESPONSES and not asks_nothing(name, raw, _SAYS_NOTHING):
            losses.lose(name)
    if "max_completion_tokens" in fields:
        responses["max_output_tokens"] = fields["max_completion_tokens"]
    responses["input"] = items_of(fields.get("messages", NULL), losses)
    responses.setdefault("store", FALSE)
    if fields.get("logprobs") == TRUE:
        responses["include"] = encode([_INCLUDED])
    else:
        responses.pop("top_logprobs", None)
    _forget_choice(responses)
    return responses


def _forget_choice(fields: dict[str, Raw]) -> None:
    """Say nothing of how to choose among tools when there are none: some providers refuse it."""
    if "tools" not in fields:
        fields.pop("parallel_tool_calls", None)
        if fields.get("tool_choice") in (Raw(b'"auto"'), Raw(b'"none"')):
            del fields["tool_choice"]


def _included(raw: Raw, losses: Losses) -> bool:
    """Tell whether the probabilities of the text are wanted. The others are of what no translated reply has."""
    names = [read_text(element, f"include[{index}]") for index, element in enumerate(read_list(raw, "include"))]
    for index, name in enumerate(names):
        if name not in _INCLUDES:
            losses.lose(f"include[{index}]")
    return _INCLUDED in names


_INCLUDES: Final = frozenset(
    {
        _INCLUDED,
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)


def _text_to_chat(raw: Raw, chat: dict[str, Raw], losses: Losses) -> None:
    said = read_present(raw, "text")
    losses.lose_unknown(said, _TEXT, "text")
    if "format" in said:
        _put(chat, "response_format", format_to_chat(said["format"], losses))
    _put(chat, "verbosity", said.get("verbosity"))


def _reasoning_to_chat(raw: Raw, chat: dict[str, Raw], losses: Losses) -> None:
    """A summary is not asked for: thoughts come as they are, if they come. None of earlier turns are kept there."""
    said = read_present(raw, "reasoning")
    if said.get("mode") == Raw(b'"standard"'):
        del said["mode"]
    losses.lose_unknown(said, _REASONING, "reasoning")
    _put(chat, "reasoning_effort", said.get("effort"))


def _reasoning_from_chat(raw: Raw, responses: dict[str, Raw], _losses: Losses) -> None:
    responses["reasoning"] = encode({"effort": raw})


def _format_from_chat(raw: Raw, responses: dict[str, Raw], losses: Losses) -> None:
    _put_text(responses, "format", format_from_chat(raw, losses))


def _verbosity_from_chat(raw: Raw, responses: dict[str, Raw], _losses: Losses) -> None:
    _put_text(responses, "verbosity", raw)


def _put_text(responses: dict[str, Raw], name: str, raw: Raw | None) -> None:
    if raw is not None:
        responses["text"] = encode({**read_present(responses.get("text", Raw(b"{}")), "text"), name: raw})


def _put(fields: dict[str, Raw], name: str, raw: Raw | None) -> None:
    if raw is not None:
        fields[name] = raw


_CHAT_WRITERS: Final[Mapping[str, _Writer]] = {
    "reasoning": _reasoning_to_chat,
    "text": _text_to_chat,
    "tool_choice": lambda raw, chat, losses: _put(chat, "tool_choice", choice_to_chat(raw, losses)),
    "tools": lambda raw, chat, losses: _put(chat, "tools", tools_to_chat(raw, losses)),
    "top_logprobs": lambda raw, chat, _: _put(chat, "top_logprobs", raw),
}
_RESPONSES_WRITERS: Final[Mapping[str, _Writer]] = {
    "reasoning_effort": _reasoning_from_chat,
    "response_format": _format_from_chat,
    "tool_choice": lambda raw, responses, losses: _put(responses, "tool_choice", choice_from_chat(raw, losses)),
    "tools": lambda raw, responses, losses: _put(responses, "tools", tools_from_chat(raw, losses)),
    "top_logprobs": lambda raw, responses, _: _put(responses, "top_logprobs", raw),
    "verbosity": _verbosity_from_chat,
}
