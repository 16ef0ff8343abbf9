"""Describe what may be spent: limits in one of four units, in a window, with thresholds on the way."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from router.config.section import Section
from router.config.units import Name, Percent, Text, TimeZone, Usd, Window, invalid
from router.domain.governance.budget import BudgetMode, ScopeKind, ThresholdAction, Unit

_Whole = Annotated[int, Field(ge=0, le=1_000_000_000_000_000)]


class ThresholdSettings(Section):
    at_pct: Percent = Field(description="Percent of the budget that is used.")
    action: ThresholdAction = Field(
        description="`notify` tells of each crossing; the others hold as long as it is reached."
    )


class BudgetSettings(Section):
    limit_usd: Usd | None = Field(default=None, description="USD in each window; 0 is nothing. Exactly one limit.")
    limit_tokens: _Whole | None = Field(default=None, description="Input and output tokens in each window.")
    limit_requests: _Whole | None = Field(default=None, description="Requests in each window.")
    limit_seconds: _Whole | None = Field(default=None, description="Seconds of providers' work in each window.")
    window: Window = Field(
        default="month",
        description="hour, day, week, month by the calendar; 1d and other durations are rolling; lifetime has no end.",
    )
    timezone: TimeZone = Field(default="UTC", description="Whose calendar.")
    thresholds: tuple[ThresholdSettings, ...] | None = Field(
        default=None, description="What happens on the way; null: the key's profile says it, else nothing happens."
    )
    mode: BudgetMode = Field(
        default=BudgetMode.STRICT, description="Reserve the worst case, or a learned p99 with top-ups."
    )
    clamp: bool = Field(default=False, description="Cut max_tokens to what is left instead of refusing.")
    observe: bool = Field(
        default=False, description="Count and tell what it would refuse (`would_refuse`), and do nothing to any call."
    )

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        said = [f"limit_{unit}" for unit in Unit if getattr(self, f"limit_{unit}") is not None]
        if not said:
            raise invalid("has no limit", f"write one of {', '.join(f'limit_{unit}' for unit in Unit)}")
        if len(said) > 1:
            raise invalid(f"has {' and '.join(said)}", "keep one, and write the other as a budget of its own")
        return self


class ScopeSettings(Section):
    """One of them. `*` has one account for each value; a value alone counts the calls that bear it."""

    workflow: Text | None = Field(default=None, description="Calls of this workflow; `*`: one account a workflow.")
    key: Text | None = Field(default=None, description="Calls with this key; `*`: one account a key.")
    user: Text | None = Field(default=None, description="Calls of this user; `*`: one account a user.")
    team: Text | None = Field(default=None, description="Calls of organization/team; `*`: one account a team.")
    organization: Text | None = Field(
        default=None, description="Calls of this organization; `*`: one account an organization."
    )
    agent: Text | None = Field(default=None, description="Calls of this agent; `*`: one account an agent.")
    tag: Text | None = Field(default=None, description="Calls with this tag; `*`: one account a tag.")
    model: Text | None = Field(default=None, description="Calls for this model; `*`: one account a model.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        said = [kind.value for kind in ScopeKind if getattr(self, kind) is not None]
        if not said:
            raise invalid("names nothing", f"write one of {', '.join(ScopeKind)}")
        if len(said) > 1:
            raise invalid(f"has {' and '.join(said)}", "keep one, and write the other as a budget of its own")
        return self


class ScopedBudgetSettings(BudgetSettings):
    name: Name = Field(description="Name of the budget.")
    scope: ScopeSettings = Field(description="Which calls it counts, across all keys.")
