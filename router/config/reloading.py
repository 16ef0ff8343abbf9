"""Decide which changes a running server cannot take: where it listens, where it keeps rows and how long."""

from collections.abc import Iterator

from pydantic import BaseModel

from router.config.schema import Settings

_FIXED = (
    ("server", "http"),
    ("server", "grpc"),
    ("server", "ops"),
    ("server", "workers"),
    ("store",),
    ("retention", "ledger"),
    ("retention", "audit"),
)


def restart_needed(old: Settings, new: Settings) -> tuple[str, ...]:
    """Name the changed keys that need a restart; nothing when a reload will do."""
    return tuple(changed for path in _FIXED for changed in _changes(old, new, path))


def _changes(old: BaseModel, new: BaseModel, path: tuple[str, ...]) -> Iterator[str]:
    before: object = old
    after: object = new
    for step in path:
        before, after = getattr(before, step), getattr(after, step)
    yield from _differences(before, after, ".".join(path))


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        for name in type(before).model_fields:
            yield from _differences(getattr(before, name), getattr(after, name), f"{path}.{name}")
    elif before != after:
        yield path
