"""Decide what the profile of a key stands for: its place in the queue, the thresholds of its budget, its limits.

A profile is looked up whenever a key is compiled and never written into it: what is null stays null where keys are
stored, so another profile, or another release's idea of one, changes all that the key does not say itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar

from router.config.schema_budgets import ThresholdSettings
from router.config.schema_models import LimitSettings
from router.config.schema_tenants import KeyPrioritySettings, KeySettings, Profile
from router.config.section import Section
from router.domain.governance.budget import ThresholdAction

S = TypeVar("S", bound=Section)

_UNLIMITED: Final = LimitSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a profile says. The budget itself is the key's own: nobody can guess an amount."""

    priority: KeyPrioritySettings
    thresholds: tuple[ThresholdSettings, ...] = ()
    limits: LimitSettings = _UNLIMITED


def _at(pct: int, action: ThresholdAction) -> ThresholdSettings:
    return ThresholdSettings(at_pct=pct, action=action)


UNSAID: Final = Bundle(priority=KeyPrioritySettings(default="standard", max="critical"))
"""A key without a profile is held up by nothing that nobody wrote."""

PROFILES: Final[Mapping[Profile, Bundle]] = MappingProxyType(
    {
        # Somebody waits for it: told early, never degraded, never slowed down.
        Profile.CRITICAL: Bundle(
            priority=KeyPrioritySettings(default="critical", max="critical"),
            thresholds=(_at(80, ThresholdAction.NOTIFY),),
        ),
        # Room for a busy service; a run-away loop meets the limits within its first minute.
        Profile.STANDARD: Bundle(
            priority=KeyPrioritySettings(default="standard", max="standard"),
            thresholds=(_at(80, ThresholdAction.NOTIFY), _at(95, ThresholdAction.SUBSTITUTE)),
            limits=LimitSettings(rpm=600, tpm=2_000_000, concurrency=64),
        ),
        # Whatever happens to it, others do not feel it. A whole prompt of 128,000 tokens still passes.
        Profile.EXPERIMENTAL: Bundle(
            priority=KeyPrioritySettings(default="batch", max="batch"),
            thresholds=(_at(50, ThresholdAction.NOTIFY), _at(80, ThresholdAction.SUBSTITUTE)),
            limits=LimitSettings(rpm=60, tpm=200_000, concurrency=8),
        ),
    }
)


def with_profile(key: KeySettings) -> KeySettings:
    """Return the key with everything that it leaves at null as its profile has it: what is in force."""
    bundle = UNSAID if key.profile is None else PROFILES[key.profile]
    update: dict[str, object] = {
        "priority": _filled(key.priority, bundle.priority),
        "limits": _filled(key.limits, bundle.limits),
    }
    if key.budget is not None and key.budget.thresholds is None:
        update["budget"] = key.budget.model_copy(update={"thresholds": bundle.thresholds})
    return key.model_copy(update=update)


def _filled(own: S, others: S) -> S:
    """Return a section with what it leaves at null taken from another one."""
    missing = {name: value for name, value in others if value is not None and getattr(own, name) is None}
    return own.model_copy(update=missing)


def describe_profiles() -> str:
    """Write the profiles as rows of the page's table."""
    return "\n".join(
        f"| `{name}` | {_priority(bundle)} | {_thresholds(bundle)} | {_limits(bundle)} |"
        for name, bundle in PROFILES.items()
    )


def _priority(bundle: Bundle) -> str:
    return f"{bundle.priority.default}, at most {bundle.priority.max}"


def _thresholds(bundle: Bundle) -> str:
    return ", ".join(f"{one.at_pct} % {one.action}" for one in bundle.thresholds)


def _limits(bundle: Bundle) -> str:
    return ", ".join(f"{name} {value}" for name, value in bundle.limits if value) or "none"
