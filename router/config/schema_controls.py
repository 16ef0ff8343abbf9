"""Describe what the router does about agents and providers that misbehave: loops, queues, breakers, retries."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.config import JsonDict

from router.config.section import Section
from router.config.units import Count, Name, Share, Text, Usd, Written, duration, invalid
from router.domain.instants import NS_PER_MS, NS_PER_S

_Waiting = Annotated[int, duration("10ms", "1d")]


class WorkflowSettings(Section):
    unlabelled: Literal["exempt", "key"] = Field(
        default="exempt", description="Calls without a workflow id: exempt from caps, or one workflow a key."
    )
    ttl: Annotated[int, duration("1s", "30d")] = Field(
        default=3_600 * NS_PER_S, description="A workflow without calls for so long is forgotten."
    )
    max_calls: Count | None = Field(default=None, description="Calls in one workflow; null is no limit.")
    max_depth: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=8, description="Depth of calls below calls; null is no limit."
    )
    max_children: Count | None = Field(default=None, description="Calls below one call; null is no limit.")
    new_per_minute: Count | None = Field(default=None, description="New workflows of one key; null is no limit.")
    budget_usd: Usd | None = Field(
        default=None, description="USD for the whole life of one workflow; null is no limit."
    )


class LoopThresholdSettings(Section):
    warn: Annotated[float, Field(ge=0, le=100)] = Field(default=2.0, description="Score that adds a notice.")
    steer: Annotated[float, Field(ge=0, le=100)] = Field(default=3.5, description="Score that steers the agent.")
    block: Annotated[float, Field(ge=0, le=100)] = Field(default=4.5, description="Score that refuses the call.")


class LoopSettings(Section):
    mode: Literal["enforce", "observe", "off"] = Field(default="enforce", description="What a loop leads to.")
    polls: tuple[Text, ...] = Field(default=(), description="Tools that may repeat themselves.")
    advanced: LoopThresholdSettings = Field(default=LoopThresholdSettings(), description="Scores of loops.")


class PriorityClassSettings(Section):
    name: Name = Field(description="Name of the class.")
    queue_timeout: Annotated[int, duration("0s", "1d")] = Field(
        default=20 * NS_PER_S, description="Longest wait for a slot."
    )
    queue_size: Annotated[int, Field(ge=0, le=1_000_000)] = Field(default=1_000, description="Calls that may wait.")
    min_share: Share = Field(default=0.0, description="Share of a pool's slots that is guaranteed.")
    preempts: tuple[Name, ...] = Field(default=(), description="Classes whose calls it may push aside.")
    max_preemptions: Annotated[int, Field(ge=0, le=100)] = Field(
        default=2, description="How often one call may be pushed aside."
    )


_CLASSES = (
    PriorityClassSettings(name="critical", queue_timeout="10s", min_share=0.5, preempts=("batch",)),
    PriorityClassSettings(name="standard", queue_timeout="20s", min_share=0.3),
    PriorityClassSettings(name="batch", queue_timeout="300s", queue_size=10_000, min_share=0.1),
)


class PrioritySettings(Section):
    classes: tuple[PriorityClassSettings, ...] = Field(
        default=_CLASSES, min_length=1, description="Highest first; a list of your own replaces the three."
    )


def _read_limit(value: object) -> int | str:
    if value in ("none", "auto"):
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise invalid("is not a limit", "use none, auto or a number of calls from 1 to 1000000")
    return value


_LIMIT_SCHEMA: JsonDict = {
    "anyOf": [{"enum": ["none", "auto"]}, {"type": "integer", "minimum": 1, "maximum": 1_000_000}]
}


class ConcurrencySettings(Section):
    limit: Annotated[int | str, Written(_read_limit, lambda limit: limit, _LIMIT_SCHEMA)] = Field(
        default="none", description="Calls at each deployment beyond its own limits; auto adapts."
    )


class BreakerSettings(Section):
    window: _Waiting = Field(default=30 * NS_PER_S, description="Calls that count towards opening.")
    min_calls: Count = Field(default=10, description="With fewer calls the rate says nothing.")
    failure_rate: Share = Field(default=0.5, description="Share of failures that opens it.")
    consecutive_failures: Count = Field(default=5, description="Failures in a row that open it.")
    slow_call: _Waiting | None = Field(
        default=None, description="A call that waits for its first token for longer is slow; null: none is."
    )
    slow_call_rate: Share = Field(default=0.8, description="Share of slow calls that opens it.")
    open: _Waiting = Field(default=15 * NS_PER_S, description="How long it stays open at first.")
    open_max: _Waiting = Field(default=300 * NS_PER_S, description="How long it stays open at most.")
    probes: Annotated[int, Field(ge=1, le=100)] = Field(default=1, description="Calls that try it half-open.")


class RetrySettings(Section):
    attempts_per_deployment: Annotated[int, Field(ge=1, le=20)] = Field(
        default=2, description="Attempts at one deployment."
    )
    attempts_total: Annotated[int, Field(ge=1, le=100)] = Field(default=4, description="Attempts of one call.")
    retry_ratio_pct: Annotated[int, Field(ge=0, le=100)] = Field(
        default=20, description="Retries in percent of all calls, so that they never make an outage worse."
    )
    backoff_base: _Waiting = Field(default=500 * NS_PER_MS, description="First pause.")
    backoff_cap: _Waiting = Field(default=8 * NS_PER_S, description="Longest pause.")
