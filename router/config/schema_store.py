"""Describe where rows are kept, what replicas share, and for how long anything stays."""

from typing import Annotated, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field, PlainSerializer

from router.config.section import Section
from router.config.units import INVALID_SECRET, duration, invalid
from router.domain.instants import NS_PER_S

_DAY_NS = 86_400 * NS_PER_S


def without_password(url: str | None) -> str | None:
    """Show a URL as anybody may see it."""
    parts = urlsplit(url or "")
    if "@" not in parts.netloc and not parts.query:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _one_of(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if url.partition("://")[0] not in schemes:
            fix = "begin it with " + " or ".join(f"{scheme}://" for scheme in schemes)
            raise invalid("not a URL that is understood here", fix, INVALID_SECRET)
        return url

    return AfterValidator(check)


_SHOWN = PlainSerializer(without_password, when_used="json")

StoreUrl = Annotated[str, _one_of("sqlite", "postgresql", "postgres"), _SHOWN]
SharedUrl = Annotated[str, _one_of("redis", "rediss"), _SHOWN]


class StoreSettings(Section):
    url: StoreUrl = Field(
        default="sqlite:///./checkrein.db",
        repr=False,
        description="The ledger: sqlite:///./relative.db, sqlite:////absolute.db or postgresql://…; "
        "DATABASE_URL is honoured.",
    )
    durability: Literal["process", "power"] = Field(
        default="process",
        description="`process` survives kill -9; `power` also survives a power cut, with an fsync each commit.",
    )
    keys_grace: Annotated[int, duration("0s", "30d")] = Field(
        default=300 * NS_PER_S,
        description="How long keys that were made while the router ran are good when the store cannot be read.",
    )


class OnErrorSettings(Section):
    rate_limits: Literal["local_share", "open", "closed"] = Field(
        default="local_share", description="Rate limits while the shared store is away."
    )
    budgets: Literal["closed", "open"] = Field(default="closed", description="Budgets while the shared store is away.")


class SharedSettings(Section):
    url: SharedUrl | None = Field(
        default=None,
        repr=False,
        description="redis://… when workers or replicas share limits, breakers and cache; REDIS_URL is honoured.",
    )
    on_error: OnErrorSettings = Field(default=OnErrorSettings(), description="What holds while it is away.")


class RetentionSettings(Section):
    ledger: Annotated[int, duration("1h", "36500d")] = Field(
        default=400 * _DAY_NS, description="How long the rows of calls are kept."
    )
    audit: Annotated[int, duration("1h", "36500d")] = Field(
        default=400 * _DAY_NS, description="How long it is on record who changed what."
    )
    partial_outputs: Annotated[int, duration("0s", "36500d")] = Field(
        default=_DAY_NS, description="How long unfinished outputs are kept, where a key asks for them."
    )
