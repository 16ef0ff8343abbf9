"""Describe the hot routes in the same OpenAPI document as the rest, although FastAPI never sees them."""

from typing import Final

from router.domain.dialects.dialect import Grammar

ERROR_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
                "details": {"type": "object"},
            },
        }
    },
}

_ERROR: Final = {
    "description": "Any failure, in the one error shape.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}

_HEADERS: Final[dict[str, object]] = {
    "x-checkrein-call": {"schema": {"type": "string"}, "description": "Look it up under /checkrein/v1/calls."},
    "x-checkrein-deployment": {"schema": {"type": "string"}},
    "x-checkrein-model": {"schema": {"type": "string"}},
    "x-checkrein-substituted": {
        "schema": {"type": "string"},
        "description": "asked->served;reason, where another model serves than the one asked for.",
    },
    "x-checkrein-dropped-params": {
        "schema": {"type": "string"},
        "description": "Members that the provider's dialect cannot say, left out as `drop_params` asked.",
    },
    "x-checkrein-notice": {"schema": {"type": "string"}},
    "x-checkrein-attempts": {"schema": {"type": "integer"}},
    "x-checkrein-cost-usd": {"schema": {"type": "string"}, "description": "Unary replies only."},
}

_WORDS: Final = {
    "/chat/completions": ("Create a chat completion, streamed or not.", "OpenAI's Chat Completions."),
    "/completions": ("Complete a text, streamed or not.", "OpenAI's completions."),
    "/responses": ("Create a response, streamed or not.", "OpenAI's Responses."),
    "/messages": ("Create a message, streamed or not.", "Anthropic's Messages, with errors in Anthropic's shape."),
    "/embeddings": ("Embed texts.", "OpenAI's embeddings."),
    "/images/generations": ("Make images of a text.", "OpenAI's images."),
    "/images/edits": ("Change images as a text says.", "OpenAI's images."),
    "/images/variations": ("Make variations of an image.", "OpenAI's images."),
    "/audio/speech": ("Speak a text.", "OpenAI's audio; the reply is sound, as it comes, or events."),
    "/audio/transcriptions": ("Write down what is said.", "OpenAI's audio."),
    "/audio/translations": ("Write down in English what is said.", "OpenAI's audio."),
    "/moderations": ("Judge texts and images.", "OpenAI's moderations."),
    "/rerank": ("Put documents in the order of a query.", "Cohere's and Jina's rerank."),
}
"""What a route is for, and whose it is."""
_KINDS: Final = ((b'"', "string"), (b"[", "array"), (b"{", "object"))
_PASSES: Final = (
    "Every member not named here reaches a provider that speaks this dialect unchanged; `model` is replaced by the "
    "deployment's own name. Where the provider speaks another, request and reply are translated, and what cannot be "
    "said there is a 400 that names it."
)


_UNTOUCHED: Final = (
    "It goes to a provider that has this route, with the deployment's own name for the model and nothing else changed, "
    "and is paid for by the piece where the model has a price by the piece."
)


def body_of(grammar: Grammar) -> dict[str, object]:
    """Describe a request."""
    properties: dict[str, object] = {"model": {"type": "string"}, grammar.content: _content(grammar)}
    if grammar.streams:
        properties["stream"] = {"type": ["boolean", "null"]}
    if grammar.asks_usage:
        properties["stream_options"] = {"type": ["object", "null"]}
    needed = {"model": grammar.needs_model, grammar.content: grammar.needs_content}
    schema = {
        "type": "object",
        "required": [name for name, is_needed in needed.items() if is_needed],
        "additionalProperties": True,
        "properties": properties,
    }
    kinds = ["application/json", *(["multipart/form-data"] if grammar.form else [])]
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


def path_item(path: str, grammar: Grammar) -> dict[str, object]:
    """Describe the route of a dialect; `path` is without its version."""
    summary, words = _WORDS[path]
    content: dict[str, object] = {"application/json": {"schema": {"type": "object"}}}
    if grammar.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    good = {"description": "The reply, or its events.", "headers": _HEADERS, "content": content}
    return {
        "post": {
            "tags": ["inference"],
            "summary": summary,
            "description": f"{words} {_UNTOUCHED if grammar.metered else _PASSES}",
            "security": [{"bearer": []}],
            "requestBody": body_of(grammar),
            "responses": {"200": good, "default": _ERROR},
        }
    }


def _content(grammar: Grammar) -> dict[str, object]:
    kinds = [kind for opener, kind in _KINDS if opener in grammar.content_openers]
    if kinds == ["array"]:
        return {"type": "array", "items": {"type": "object"}}
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "description": f"It must be {grammar.content_words}."}
