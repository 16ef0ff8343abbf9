"""Describe the hot routes in the same OpenAPI document as the rest, although FastAPI never sees them."""

from typing import Final

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

CHAT_BODY: Final[dict[str, object]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "messages"],
                "additionalProperties": True,
                "properties": {
                    "model": {"type": "string"},
                    "messages": {"type": "array", "items": {"type": "object"}},
                    "stream": {"type": ["boolean", "null"]},
                    "stream_options": {"type": ["object", "null"]},
                },
            }
        }
    },
}

CHAT_PATH_ITEM: Final[dict[str, object]] = {
    "post": {
        "tags": ["inference"],
        "summary": "Create a chat completion, streamed or not.",
        "description": (
            "OpenAI's Chat Completions. Every member not named here reaches the provider unchanged; `model` is "
            "replaced by the deployment's own name, and a stream is always asked for its usage."
        ),
        "security": [{"bearer": []}],
        "requestBody": CHAT_BODY,
        "responses": {
            "200": {
                "description": "The provider's own reply, or its events.",
                "headers": {
                    "x-checkrein-call": {
                        "schema": {"type": "string"},
                        "description": "Look it up under /checkrein/v1/calls.",
                    },
                    "x-checkrein-deployment": {"schema": {"type": "string"}},
                    "x-checkrein-model": {"schema": {"type": "string"}},
                    "x-checkrein-substituted": {
                        "schema": {"type": "string"},
                        "description": "asked->served;reason, where another model serves than the one asked for.",
                    },
                    "x-checkrein-notice": {"schema": {"type": "string"}},
                    "x-checkrein-attempts": {"schema": {"type": "integer"}},
                    "x-checkrein-cost-usd": {"schema": {"type": "string"}, "description": "Unary replies only."},
                },
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            "default": _ERROR,
        },
    }
}
