"""Describe what surrounds a call: cache, idempotency, affinity, the errors' wire, webhooks and logging."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from router.config.section import Section
from router.config.units import SecretText, Text, duration, invalid, size
from router.domain.events import EventType
from router.domain.instants import NS_PER_S


class ExactCacheSettings(Section):
    enabled: bool = Field(default=False, description="Answer equal requests from memory.")
    ttl: Annotated[int, duration("1s", "30d")] = Field(default=3_600 * NS_PER_S, description="Age of an answer.")
    max_size: Annotated[int, size("1MiB", "64GiB")] = Field(default=256 << 20, description="Bytes of all answers.")
    scope: Literal["key", "team", "organization"] = Field(
        default="key", description="Who shares answers with each other."
    )


class CacheSettings(Section):
    exact: ExactCacheSettings = Field(default=ExactCacheSettings(), description="Equal requests.")


class IdempotencySettings(Section):
    window: Annotated[int, duration("0s", "1d")] = Field(
        default=600 * NS_PER_S, description="How long an idempotency-key is remembered."
    )


class AffinitySettings(Section):
    enabled: bool = Field(default=True, description="Keep a conversation where its prompt cache is warm.")
    ttl: Annotated[int, duration("1s", "1d")] = Field(
        default=300 * NS_PER_S, description="How long after its last call."
    )


def _check_status(status: int) -> int:
    if status not in (402, 429):
        raise invalid("is not a status for this", "use 429 or 402")
    return status


class ErrorSettings(Section):
    budget_status: Annotated[int, AfterValidator(_check_status)] = Field(
        default=429, description="HTTP status when a budget is used up: 429 or 402."
    )


class WebhookSettings(Section):
    url: SecretText = Field(description="Where to send the event.")
    secret: SecretText | None = Field(default=None, description="Signs what is sent: `whsec_…`, or any text.")
    secret_file: Text | None = Field(default=None, description="A file that holds the secret.")
    events: tuple[EventType, ...] = Field(default=(), description="What to tell; empty: all.")


class LoggingSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level to log.")
    format: Literal["json", "text"] = Field(default="json", description="One JSON object a line, or text.")
    content: Literal["never", "per_key"] = Field(
        default="never", description="Whether prompts and replies may be kept, where a key asks for it."
    )
