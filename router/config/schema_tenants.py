"""Describe who may call and how much: organizations, teams, users and keys."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from router.config.schema_budgets import BudgetSettings
from router.config.schema_models import LimitSettings
from router.config.section import Section
from router.config.units import INVALID_SECRET, Name, SecretText, Text, WallInstant, invalid
from router.domain.principal import Mode, Permission
from router.domain.secret import Secret

_SECRET_CHARS_MIN = 8


class TeamSettings(Section):
    name: Name = Field(description="Name of the team.")
    budget: BudgetSettings | None = Field(default=None, description="What the team may spend.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast the team may call.")


class OrganizationSettings(Section):
    name: Name = Field(description="Name of the organization.")
    budget: BudgetSettings | None = Field(default=None, description="What the organization may spend.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast the organization may call.")
    teams: tuple[TeamSettings, ...] = Field(default=(), description="Its teams.")


class UserSettings(Section):
    name: Text = Field(description="Name of the user, as keys name it.")
    budget: BudgetSettings | None = Field(default=None, description="What the user may spend, with all keys together.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast the user may call.")


class Profile(StrEnum):
    """A named bundle of what a key leaves unsaid."""

    CRITICAL = "critical"
    STANDARD = "standard"
    EXPERIMENTAL = "experimental"


class KeyPrioritySettings(Section):
    default: Name | None = Field(
        default=None, description="Class of calls that do not name one; null: the profile's, else standard."
    )
    max: Name | None = Field(
        default=None, description="Highest class that they may name; null: the profile's, else critical."
    )


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
        default=(Permission.INFERENCE,),
        description="`inference` calls models; `admin` administers too, `team_admin` the keys of its team too.",
    )
    models: tuple[Text, ...] = Field(default=("*",), description="Names and patterns of models that it may call.")
    team: Annotated[str, AfterValidator(_check_team)] | None = Field(
        default=None, description="organization/team that its calls are booked on."
    )
    user: Text | None = Field(default=None, description="User that its calls are booked on.")
    expires: WallInstant | None = Field(default=None, description="From then on it is refused; without zone: UTC.")
    revoked: bool = Field(default=False, description="Refused at once.")
    profile: Profile | None = Field(
        default=None, description="Bundle of defaults for what priority, thresholds and limits leave at null."
    )
    priority: KeyPrioritySettings = Field(default=KeyPrioritySettings(), description="Classes of its calls.")
    budget: BudgetSettings | None = Field(default=None, description="What it may spend.")
    limits: LimitSettings = Field(default=LimitSettings(), description="How fast it may call.")
    allow: AllowSettings = Field(default=AllowSettings(), description="What else it may.")
    mode: Mode | None = Field(
        default=None, description="Enforce or only observe for this key; null: as the whole router."
    )

    @model_validator(mode="after")
    def _has_a_team_to_administer(self) -> Self:
        if Permission.TEAM_ADMIN in self.permissions and self.team is None:
            raise invalid("has the permission team_admin and no team", "write its `team`, such as organization/team")
        return self
