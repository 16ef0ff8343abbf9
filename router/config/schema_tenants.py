"""Describe who may call and what they may spend: organizations, teams, budgets and keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from router.config.schema_models import LimitSettings
from router.config.section import Section
from router.config.units import (
    INVALID_SECRET,
    Name,
    Percent,
    SecretText,
    Text,
    TimeZone,
    Usd,
    WallInstant,
    Window,
    invalid,
)
from router.domain.principal import Permission
from router.domain.secret import Secret

_SECRET_CHARS_MIN = 8


class ThresholdSettings(Section):
    at_pct: Percent = Field(description="Percent of the budget that is used.")
    action: Literal["notify", "substitute"] = Field(description="What happens then.")


class BudgetSettings(Section):
    limit_usd: Usd = Field(description="USD in each window.")
    window: Window = Field(
        default="month", description="hour, day, week, month by the calendar; 1d and other durations are rolling."
    )
    timezone: TimeZone = Field(default="UTC", description="Whose calendar.")
    thresholds: tuple[ThresholdSettings, ...] = Field(default=(), description="What happens on the way.")
    mode: Literal["strict", "quantile"] = Field(
        default="strict", description="Reserve the worst case, or a learned p99 with top-ups."
    )
    clamp: bool = Field(default=False, description="Cut max_tokens to what is left instead of refusing.")


class ScopeSettings(Section):
    agent: Text | None = Field(default=None, description="Calls of this agent; `*`: one account an agent.")
    user: Text | None = Field(default=None, description="Calls of this user; `*`: one account a user.")
    tag: Text | None = Field(default=None, description="Calls with this tag; `*`: one account a tag.")
    model: Text | None = Field(default=None, description="Calls for this model; `*`: one account a model.")


class ScopedBudgetSettings(BudgetSettings):
    name: Name = Field(description="Name of the budget.")
    scope: ScopeSettings = Field(description="Which calls it counts, across all keys.")


class TeamSettings(Section):
    name: Name = Field(description="Name of the team.")
    budget: BudgetSettings | None = Field(default=None, description="What the team may spend.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast the team may call.")


class OrganizationSettings(Section):
    name: Name = Field(description="Name of the organization.")
    budget: BudgetSettings | None = Field(default=None, description="What the organization may spend.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast the organization may call.")
    teams: tuple[TeamSettings, ...] = Field(default=(), description="Its teams.")


class KeyPrioritySettings(Section):
    default: Name = Field(default="standard", description="Class of calls that do not name one.")
    max: Name = Field(default="critical", description="Highest class that they may name.")


class AllowSettings(Section):
    substitution: bool = Field(default=True, description="Stand-in models may serve its calls.")
    set_attribution: bool = Field(default=True, description="Its callers may name agent, user and tags.")
    preempt_started: bool = Field(default=False, description="Its calls may push aside calls that have begun.")
    keep_partials: bool = Field(default=False, description="Unfinished outputs of its calls are kept.")


def _check_key(secret: Secret) -> Secret:
    if len(secret.reveal()) < _SECRET_CHARS_MIN:
        fix = f"use at least {_SECRET_CHARS_MIN} characters that nobody can guess"
        raise invalid("the key is too short", fix, INVALID_SECRET)
    return secret


def _check_sha256(text: str) -> str:
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise invalid("not a SHA-256", "write its 64 hexadecimal digits", INVALID_SECRET)
    return text.lower()


def _check_team(path: str) -> str:
    organization, slash, team = path.partition("/")
    if not (organization and slash and team) or "/" in team:
        raise invalid("is not a team", "write it as organization/team")
    return path


class KeySettings(Section):
    name: Name = Field(description="Name of the key in the ledger; a secret is never shown.")
    key: Annotated[SecretText, AfterValidator(_check_key)] | None = Field(
        default=None, description="The secret that clients send; one that ends in -local works on loopback only."
    )
    key_file: Text | None = Field(default=None, description="A file that holds the secret.")
    key_sha256: Annotated[str, AfterValidator(_check_sha256)] | None = Field(
        default=None, repr=False, description="The secret's SHA-256, so that the file need not hold it."
    )
    permissions: tuple[Permission, ...] = Field(
        default=(Permission.INFERENCE,), description="`inference` calls models, `admin` does that and administers."
    )
    models: tuple[Text, ...] = Field(default=("*",), description="Names and patterns of models that it may call.")
    team: Annotated[str, AfterValidator(_check_team)] | None = Field(
        default=None, description="organization/team that its calls are booked on."
    )
    user: Text | None = Field(default=None, description="User that its calls are booked on.")
    expires: WallInstant | None = Field(default=None, description="From then on it is refused; without zone: UTC.")
    revoked: bool = Field(default=False, description="Refused at once.")
    priority: KeyPrioritySettings = Field(default=KeyPrioritySettings(), description="Classes of its calls.")
    budget: BudgetSettings | None = Field(default=None, description="What it may spend.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast it may call.")
    allow: AllowSettings = Field(default=AllowSettings(), description="What else it may.")
    mode: Literal["enforce", "observe"] | None = Field(
        default=None, description="Enforce or only observe for this key; null: as the whole router."
    )
