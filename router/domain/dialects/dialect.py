"""Name the dialects in which callers ask and providers answer, and say what is common to all requests in one of them.

All of them are JSON objects or forms with a `model`. A `Grammar` is what else the router must know in order to bound,
price, place and pass on a request without a model of its own for each member: nearly all members go by as bytes.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Dialect(StrEnum):
    CHAT = "chat"
    """OpenAI's Chat Completions."""
    COMPLETIONS = "completions"
    """OpenAI's older completions of a text."""
    RESPONSES = "responses"
    """OpenAI's Responses."""
    MESSAGES = "messages"
    """Anthropic's Messages."""
    EMBEDDINGS = "embeddings"
    IMAGES = "images"
    """OpenAI's routes that make and change images."""
    AUDIO = "audio"
    """OpenAI's routes that speak, and write down what is said."""
    MODERATIONS = "moderations"
    RERANK = "rerank"
    """Cohere's and Jina's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grammar:
    """How requests of one dialect are written."""

    dialect: Dialect
    content: str
    """The member that holds what is asked."""
    content_openers: bytes
    """What its JSON may begin with."""
    content_words: str
    """What it must be, for people."""
    turns: bool = True
    """It holds a conversation, turn by turn; else one text or token array, or a list of them."""
    needs_content: bool = True
    """A request without it is none."""
    prompt: tuple[str, ...]
    """Members that a model reads, in the order in which it does."""
    settings: frozenset[str]
    """Members that no model reads: they have no tokens."""
    max_tokens: tuple[str, ...]
    """Members in which a caller may say how long its reply may get; the first is the present name."""
    needs_max_tokens: bool = False
    """A request that does not say so is refused."""
    choices: tuple[str, ...] = ()
    """Members that say how many replies are made; the largest counts."""
    stored: frozenset[str] = frozenset()
    """Members that name what the provider holds, and so say nothing of how long the prompt is."""
    provider_runs: tuple[str, ...] = ()
    """Members that have the provider do something of its own, and read what comes of it."""
    tools_may_run_there: bool = False
    """Some types of `tools` do so too."""
    asks_usage: bool = False
    """A stream tells what it used only if `stream_options` ask for it."""
    streams: bool = True
    generates: bool = True
    """Its replies have output tokens."""
    route: str | None = None
    """Where it is asked, after a provider's address; None: its provider's kind knows. Such a route is metered by units
    beside tokens, and its replies come as its provider likes: as JSON, as events or as bytes."""
    form: bool = False
    """Requests may come as multipart/form-data, with files."""
    needs_model: bool = True
    metered: bool = field(init=False)
    """It is priced by units beside tokens."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "metered", self.route is not None)


_TUNING: Final = (
    "metadata", "model", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "temperature", "tool_choice", "top_logprobs", "top_p", "user",
)  # fmt: skip
"""Settings that OpenAI's dialects share."""

CHAT: Final = Grammar(
    dialect=Dialect.CHAT,
    content="messages",
    content_openers=b"[",
    content_words="an array of messages",
    prompt=("tools", "functions", "messages"),
    settings=frozenset((
        *_TUNING, "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "modalities",
        "n", "presence_penalty", "reasoning_effort", "seed", "stop", "verbosity",
    )),
    max_tokens=("max_completion_tokens", "max_tokens"),
    choices=("n",),
    provider_runs=("web_search_options",),
    asks_usage=True,
)  # fmt: skip
COMPLETIONS: Final = Grammar(
    dialect=Dialect.COMPLETIONS,
    content="prompt",
    content_openers=b'"[',
    content_words="a text, or an array of texts or tokens",
    turns=False,
    prompt=("prompt", "suffix"),
    settings=frozenset((
        *_TUNING, "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n",
        "presence_penalty", "seed", "stop",
    )),
    max_tokens=("max_tokens",),
    choices=("n", "best_of"),
    asks_usage=True,
)  # fmt: skip
RESPONSES: Final = Grammar(
    dialect=Dialect.RESPONSES,
    content="input",
    content_openers=b'"[',
    content_words="a text or an array of items",
    needs_content=False,
    prompt=("tools", "instructions", "input"),
    settings=frozenset((
        *_TUNING, "background", "include", "max_output_tokens", "max_tool_calls", "reasoning", "truncation",
    )),
    max_tokens=("max_output_tokens",),
    stored=frozenset(("previous_response_id", "conversation", "prompt")),
    tools_may_run_there=True,
)  # fmt: skip
MESSAGES: Final = Grammar(
    dialect=Dialect.MESSAGES,
    content="messages",
    content_openers=b"[",
    content_words="an array of messages",
    prompt=("tools", "system", "messages"),
    settings=frozenset((
        "cache_control", "inference_geo", "max_tokens", "metadata", "model", "service_tier", "speed",
        "stop_sequences", "stream", "temperature", "thinking", "tool_choice", "top_k", "top_p",
    )),
    max_tokens=("max_tokens",),
    needs_max_tokens=True,
    provider_runs=("mcp_servers", "container"),
    tools_may_run_there=True,
)  # fmt: skip
EMBEDDINGS: Final = Grammar(
    dialect=Dialect.EMBEDDINGS,
    content="input",
    content_openers=b'"[',
    content_words="a text, or an array of texts or tokens",
    turns=False,
    prompt=("input",),
    settings=frozenset(("dimensions", "encoding_format", "model", "user")),
    max_tokens=(),
    streams=False,
    generates=False,
)

NAMED_EVENTS: Final = frozenset((Dialect.RESPONSES, Dialect.MESSAGES, Dialect.IMAGES, Dialect.AUDIO))
"""Dialects whose streams say of each event what it is."""
_TRANSLATED: Final = (Dialect.CHAT, Dialect.RESPONSES, Dialect.MESSAGES)
"""Between any two of these requests and replies are translated, most directly from or to the first."""


def spoken_for(asked: Dialect, speaks: Collection[Dialect]) -> Dialect | None:
    """Choose the dialect in which to ask a provider that `speaks` these: the caller's own if it can be.

    None: what is asked cannot be said there.
    """
    if asked in speaks:
        return asked
    if asked not in _TRANSLATED:
        return None
    return next((one for one in _TRANSLATED if one in speaks), None)
