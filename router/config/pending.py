"""Say what the operator has set and this release does not do yet: one table, which later releases shrink."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from router.config.availability import why_left_out
from router.config.schema import Settings
from router.config.tree import steps
from router.domain.events import EventType


@dataclass(frozen=True, slots=True)
class Pending:
    """Keys that one later feature will honour. Null, false and empty ask for nothing, wherever they stand."""

    paths: tuple[str, ...]
    will: str
    only: str | None = None
    """The one value that asks for it, alone or in a list."""
    unless: str | int | None = None
    """The value that asks for nothing: leaving it undone is doing it."""


_PENDING: Final = (
    Pending(("server.workers",), "several server processes", unless=1),
    Pending(("shared.url",), "limits, breakers and cache shared by replicas"),
    Pending(("retention.partial_outputs",), "unfinished outputs are kept, and deleted"),
    Pending(("priority", "keys[].priority", "keys[].profile"), "queues by class"),
    Pending(
        ("keys[].allow.preempt_started", "keys[].allow.keep_partials"),
        "what else a key may",
    ),
    Pending(
        (
            "workflows.unlabelled",
            "workflows.ttl",
            "workflows.max_calls",
            "workflows.max_depth",
            "workflows.max_children",
            "workflows.new_per_minute",
        ),
        "caps of agents' workflows",
    ),
    Pending(("loops.mode",), "refuses agents that repeat themselves", unless="off"),
    Pending(("cache.exact.enabled",), "answers equal requests from memory"),
    Pending(("idempotency",), "answers a request that was sent twice once"),
    Pending(("webhooks[].events",), "tells of loops that are blocked", only=EventType.LOOP_BLOCKED),
    Pending(("logging.content",), "keeps prompts and replies", only="per_key"),
)


def notices(settings: Settings) -> tuple[str, ...]:
    """Say at start what is left out, and what is accepted but not yet enforced. Only about keys that were set."""
    return (*_left_out(settings), *_not_enforced(settings), *_nobody(settings))


def _left_out(settings: Settings) -> Iterator[str]:
    out = {provider.name: why for provider in settings.providers if (why := why_left_out(provider))}
    for name, why in out.items():
        without = [
            model.name
            for model in settings.models
            if any(deployment.provider == name for deployment in model.deployments)
            and all(deployment.provider in out for deployment in model.deployments)
        ]
        lost = f"; no deployment is left for: {', '.join(without)}" if without else ""
        yield f"left out: provider {name} ({why}){lost}"


def _nobody(settings: Settings) -> Iterator[str]:
    if not settings.keys:
        yield "no keys are configured: every call will be refused"
    if not settings.models:
        yield "no models are configured: there is nothing to call"


def _not_enforced(settings: Settings) -> Iterator[str]:
    for pending in _PENDING:
        asked = [path for path in pending.paths if any(_asks(value, pending) for value in _set(settings, steps(path)))]
        if asked:
            yield f"accepted, not yet enforced: {', '.join(asked)} ({pending.will})"


def _asks(value: object, pending: Pending) -> bool:
    if pending.only is not None:
        return pending.only in value if isinstance(value, tuple) else value == pending.only
    if isinstance(value, tuple | Mapping):
        return bool(value)
    return value is not None and value is not False and value != pending.unless


def _set(node: object, rest: tuple[str, ...]) -> Iterator[object]:
    """Yield the values at a path that somebody wrote down; defaults are not news."""
    if not rest:
        yield node
    elif rest[0] == "[]" and isinstance(node, tuple):
        for item in node:
            yield from _set(item, rest[1:])
    elif isinstance(node, BaseModel) and rest[0] in node.model_fields_set:
        yield from _set(getattr(node, rest[0]), rest[1:])
