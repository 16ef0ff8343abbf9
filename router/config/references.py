"""Check what one part of a configuration says about another: names that must exist, and names that must differ."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from router.config.problems import Problem, problem_at, quote
from router.config.profiles import PROFILES
from router.config.schema_controls import PrioritySettings
from router.config.schema_tenants import Profile
from router.config.tree import Branch, Leaf, Node, child, follow, format_path, select, text_at, text_of
from router.domain.governance.budget import EACH

_NAMES_SHOWN_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Reference:
    """Values at `at` must be one of the names at `to`, or `*` where that means each of them."""

    at: str
    to: str
    noun: str
    or_each: bool = False


_REFERENCES: Final = (
    Reference("models[].deployments[].provider", "providers[].name", "provider"),
    Reference("models[].fallbacks[]", "models[].name", "model"),
    Reference("models[].context_window_fallbacks[]", "models[].name", "model"),
    Reference("models[].content_policy_fallbacks[]", "models[].name", "model"),
    Reference("models[].substitutes[].model", "models[].name", "model"),
    Reference("models[].substitutes[].when.priority", "priority.classes[].name", "priority class"),
    Reference("roles[]", "models[].name", "model"),
    Reference("keys[].priority.default", "priority.classes[].name", "priority class"),
    Reference("keys[].priority.max", "priority.classes[].name", "priority class"),
    Reference("priority.classes[].preempts[]", "priority.classes[].name", "priority class"),
    Reference("budgets[].scope.key", "keys[].name", "key", or_each=True),
    Reference("budgets[].scope.organization", "organizations[].name", "organization", or_each=True),
)

_UNIQUE: Final = (
    "providers[].name",
    "models[].name",
    "keys[].name",
    "organizations[].name",
    "organizations[].teams[].name",
    "users[].name",
    "budgets[].name",
    "priority.classes[].name",
    "providers[].credentials[].name",
)

_CLASSES: Final = tuple(entry.name for entry in PrioritySettings().classes)


def find_duplicates(layer: Node) -> Iterator[Problem]:
    """Find names that occur twice in one list of one layer; between layers the same name means the same thing."""
    for pattern in _UNIQUE:
        seen: dict[tuple[str, str], Leaf] = {}
        for path, node in select(layer, pattern):
            name = text_of(node)
            if name is None or not isinstance(node, Leaf):
                continue
            first = seen.setdefault((format_path(path[:-2]), name), node)
            if first is not node:
                where = f" on line {first.origin.line}" if first.origin.line else ""
                message = f"{quote(node)} is there already{where}"
                yield problem_at(node.origin, path, message, "names in a list must differ")


def find_dangling(tree: Node) -> Iterator[Problem]:
    """Find references to things that do not exist."""
    for reference in _REFERENCES:
        known = [EACH] if reference.or_each else []
        yield from _dangling(tree, reference.at, [*known, *_names(tree, reference.to)], reference.noun)
    teams = {
        f"{text_of(name)}/{text_at(team, 'name')}"
        for path, name in select(tree, "organizations[].name")
        for _, team in select(follow(tree, path[:-1])[1], "teams[]")
    }
    yield from _dangling(tree, "keys[].team", teams, "team", only_with="/")  # another form has its own problem
    yield from _dangling(tree, "budgets[].scope.team", {EACH, *teams}, "team")
    yield from _dangling(tree, "budgets[].scope.model", [EACH, *_models(tree)], "model")
    yield from _find_missing_classes(tree)


def _dangling(tree: Node, at: str, names: Collection[str], noun: str, only_with: str = "") -> Iterator[Problem]:
    for path, node in select(tree, at):
        name = text_of(node)
        if name is not None and isinstance(node, Leaf) and only_with in name and name not in names:
            article = "an" if noun[0] in "aeiou" else "a"
            yield problem_at(node.origin, path, f"{quote(node)} is not {article} {noun}", _suggest(name, names, noun))


def _models(tree: Node) -> Iterator[str]:
    """Name what a call can ask for: models, and deployments as they are named directly."""
    yield from _names(tree, "models[].name")
    for _, deployment in select(tree, "models[].deployments[]"):
        for joint in "/:":
            yield f"{text_at(deployment, 'provider')}{joint}{text_at(deployment, 'model')}"


def _find_missing_classes(tree: Node) -> Iterator[Problem]:
    """Find profiles whose priority classes the operator has replaced, on keys that do not say their own."""
    names = _names(tree, "priority.classes[].name")
    for path, node in select(tree, "keys[].profile"):
        text = text_of(node)
        if not isinstance(node, Leaf) or text not in set(Profile):
            continue
        for part, name in PROFILES[Profile(text)].priority:
            own = (*path[:-1], "priority", part)
            if name not in names and follow(tree, own)[0] != own:
                message = f"{quote(node)} needs the priority class '{name}'"
                yield problem_at(node.origin, path, message, f"add the class, or write the key's own priority.{part}")


def find_wrong_keys(tree: Node) -> Iterator[Problem]:
    """Find keys that have no secret, or more than one."""
    for path, key in select(tree, "keys[]"):
        if not isinstance(key, Branch):
            continue
        ways = [way for way in ("key", "key_file", "key_sha256") if _is_said(child(key, way))]
        if len(ways) != 1 and ways != ["key", "key_file"]:
            message = "has no secret" if not ways else f"has {' and '.join(ways)}"
            yield problem_at(key.origin, path, message, "give it one of key, key_file, key_sha256")


def _is_said(node: Node | None) -> bool:
    return isinstance(node, Leaf) and node.value not in (None, "")


def _names(tree: Node, pattern: str) -> Collection[str]:
    """Collect the names that exist: those that are written, or the defaults where nothing is."""
    if pattern.startswith("priority.") and follow(tree, ("priority", "classes"))[0] != ("priority", "classes"):
        return _CLASSES
    return [name for name in (text_of(node) for _, node in select(tree, pattern)) if name is not None]


def _suggest(name: str, names: Collection[str], noun: str) -> str:
    if not names:
        return f"there is no {noun} at all: add one"
    close = get_close_matches(name, names, 1)
    if close:
        return f"did you mean '{close[0]}'?"
    listed = sorted(names)[:_NAMES_SHOWN_MAX]
    return "use one of " + ", ".join(listed) + (", …" if len(names) > len(listed) else "")
