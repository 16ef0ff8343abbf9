"""Load the effective configuration: read, merge, resolve, check and type it, or say everything that is wrong."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from router.config.checks import check
from router.config.documents import read_document
from router.config.environment import read_environment
from router.config.first_start import first_layer
from router.config.merge import merge, merge_all
from router.config.problems import ConfigInvalid, Problem
from router.config.references import find_dangling, find_duplicates, find_wrong_keys
from router.config.resolve import resolve
from router.config.schema import Settings
from router.config.sources import Sources
from router.config.translate import translate
from router.config.tree import Branch, Leaf, Node, Origin, flatten, put

_EMPTY = Branch(entries={}, origin=Origin(source="defaults"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be used."""

    settings: Settings
    files: tuple[Path, ...]
    """The files that were read, lowest layer first. Watch these for a reload."""
    fingerprint: str
    """SHA-256 of the effective configuration without its secrets: it does not tell that only a key has changed."""
    greeting: tuple[str, ...] = field(default=(), repr=False)
    """What to print loudly once, when nothing was configured. May hold a key that was just made."""
    tree: Node = field(default=_EMPTY, repr=False)
    """Where each value was written, for problems that are found later."""


def load(sources: Sources, *, new_admin_key: str | None = None) -> Loaded:
    """Load the configuration. Raises `ConfigInvalid` with every problem.

    With `new_admin_key` a start without any file is a first start, with a scripted model and its own keys.
    """
    files = tuple(sources.files())
    problems = list(_find_rivals(file for file in files if file != sources.explicit))
    layers = list(_read_files(files, problems))
    environment, unknown = read_environment(sources.env)
    problems += unknown
    upper = merge(environment, _overrides(sources))
    greeting: tuple[str, ...] = ()
    if not files and new_admin_key is not None:
        lowest, greeting = first_layer(upper, container=sources.in_container, admin_key=new_admin_key)
        layers = [lowest]
    for layer in (*layers, upper):
        problems += find_duplicates(layer)
    tree, unresolved = resolve(merge_all(_EMPTY, (*layers, upper)), sources.env)
    found = [*find_dangling(tree), *find_wrong_keys(tree), *check(tree)]
    settings = _type(tree, found)
    problems += (*unresolved, *_without_echoes(found, unresolved))
    if settings is None or problems:
        raise ConfigInvalid(dict.fromkeys(problems))
    return Loaded(settings=settings, files=files, fingerprint=fingerprint_of(settings), greeting=greeting, tree=tree)


def fingerprint_of(settings: Settings) -> str:
    """Digest the configuration. Secrets are written as `***`, so they do not enter."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _find_rivals(files: Iterable[Path]) -> Iterator[Problem]:
    """Find layers that are written twice, as YAML and as TOML: nobody can tell which of them should win."""
    first: dict[Path, Path] = {}
    for file in files:
        rival = first.setdefault(file.with_suffix(""), file)
        if rival is not file:
            message = f"stands beside {rival.name}"
            yield Problem(path="", file=str(file), message=message, fix="keep one of the two")


def _read_files(files: tuple[Path, ...], problems: list[Problem]) -> Iterator[Node]:
    for file in files:
        try:
            tree, found = read_document(file)
        except ConfigInvalid as invalid:
            problems += invalid.problems
        else:
            problems += found
            yield tree


def _overrides(sources: Sources) -> Node:
    layer: Node = Branch(entries={}, origin=Origin(source="command line"))
    for dotted, value in sources.overrides.items():
        layer = put(layer, tuple(dotted.split(".")), Leaf(value=value, origin=layer.origin))
    return layer


def _without_echoes(found: Iterable[Problem], unresolved: Iterable[Problem]) -> Iterator[Problem]:
    """Leave out what is wrong only because a value at that place, or below it, could not be resolved."""
    places = [f"{problem.path}." for problem in unresolved]
    for problem in found:
        if not any(place.startswith(f"{problem.path}.") for place in places):
            yield problem


def _type(tree: Node, problems: list[Problem]) -> Settings | None:
    try:
        return Settings.model_validate(flatten(tree))
    except ValidationError as error:
        # Not `from error`: a traceback of pydantic's holds the values, and some of them are secrets.
        problems += translate(error, tree)
        return None
