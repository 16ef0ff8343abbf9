"""Describe the hot routes in the same OpenAPI document as the rest, although FastAPI never sees them."""

from typing import Final

from router.domain.dialects.dialect import Dialect, Grammar

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
    Dialect.CHAT: ("Create a chat completion, streamed or not.", "OpenAI's Chat Completions."),
    Dialect.COMPLETIONS: ("Complete a text, streamed or not.", "OpenAI's completions."),
    Dialect.RESPONSES: ("Create a response, streamed or not.", "OpenAI's Responses."),
    Dialect.MESSAGES: ("Create a message, streamed or not.", "Anthropic's Messages, with errors in Anthropic's shape."),
    Dialect.EMBEDDINGS: ("Embed texts.", "OpenAI's embeddings."),
}
_PASSES: Final = (
    "Every member not named here reaches a provider that speaks this dialect unchanged; `model` is replaced by the "
    "deployment's own name. Where the provider speaks another, request and reply are translated, and what cannot be "
    "said there is a 400 that names it."
)


def body_of(grammar: Grammar) -> dict[str, object]:
    """Describe a request."""
    properties: dict[str, object] = {"model": {"type": "string"}, grammar.content: _content(grammar)}
    if grammar.streams:
        properties["stream"] = {"type": ["boolean", "null"]}
    if grammar.asks_usage:
        properties["stream_options"] = {"type": ["object", "null"]}
    schema = {
        "type": "object",
        "required": ["model", grammar.content] if grammar.needs_content else ["model"],
        "additionalProperties": True,
        "properties": properties,
    }
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def path_item(grammar: Grammar) -> dict[str, object]:
    """Describe the route of a dialect."""
    summary, words = _WORDS[grammar.dialect]
    content: dict[str, object] = {"application/json": {"schema": {"type": "object"}}}
    if grammar.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    good = {"description": "The reply, or its events.", "headers": _HEADERS, "content": content}
    return {
        "post": {
            "tags": ["inference"],
            "summary": summary,
            "description": f"{words} {_PASSES}",
            "security": [{"bearer": []}],
            "requestBody": body_of(grammar),
            "responses": {"200": good, "default": _ERROR},
        }
    }


def _content(grammar: Grammar) -> dict[str, object]:
    if grammar.content_openers == b"[":
        return {"type": "array", "items": {"type": "object"}}
    return {"type": ["string", "array"], "description": f"It must be {grammar.content_words}."}
