"""Give the values of the merged tree their final form: variables, secret files, presets and paths."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from router.config.interpolate import interpolate
from router.config.presets import PRESETS
from router.config.problems import Problem, problem_at
from router.config.tree import Branch, KeyPath, Leaf, Node, child, follow, grow, leaves, put, select, text_at

SECRET_BYTES_MAX: Final = 64 << 10

_SECRET_FILES: Final = (
    "providers[].api_key_file",
    "providers[].credentials[].api_key_file",
    "keys[].key_file",
    "webhooks[].secret_file",
)
_PATHS: Final = (
    "server.http.tls.cert_file",
    "server.http.tls.key_file",
    "server.http.tls.client_ca_file",
    "server.grpc.tls.cert_file",
    "server.grpc.tls.key_file",
    "server.grpc.tls.client_ca_file",
    "providers[].network.ca_file",
    "prices.files[]",
)


def resolve(tree: Node, env: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """Return the tree as the schema expects it, and everything in it that could not be resolved."""
    problems: list[Problem] = []
    for step in (_variables, _presets, _secret_files, _paths):
        tree, found = step(tree, env)
        problems += found
    return tree, problems


def is_optional(tree: Node, path: KeyPath) -> bool:
    """Say whether a path lies in a provider that may be left out."""
    if len(path) < 2 or path[0] != "providers":
        return False
    required = child(follow(tree, path[:2])[1], "required")
    return isinstance(required, Leaf) and required.value in (False, "false")


def _variables(tree: Node, env: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    problems = []
    for path, leaf in list(leaves(tree)):
        if leaf.origin.folder is None or not isinstance(leaf.value, str) or "${" not in leaf.value:
            continue
        put_in = interpolate(leaf.value, env)
        text = put_in.text
        if put_in.malformed:
            fix = "write ${NAME} or ${NAME:-default}, and $${ for a literal ${"
            problems.append(problem_at(leaf.origin, path, f"{put_in.malformed[0]!r} is not a variable", fix))
        elif put_in.unset and is_optional(tree, path):
            text = ""
        else:
            problems += [
                problem_at(leaf.origin, path, f"${{{name}}} is not set", f"set it, or write ${{{name}:-default}}")
                for name in put_in.unset
            ]
        tree = put(tree, path, replace(leaf, value=text, shown=leaf.value))
    return tree, problems


def _presets(tree: Node, env: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """Fill in what a preset knows and the file does not say."""
    problems = []
    for path, provider in list(select(tree, "providers[]")):
        named = text_at(provider, "preset") or text_at(provider, "name")
        preset = PRESETS.get(named or "")
        if preset is None:
            if child(provider, "preset") is not None:
                fix = "use one of " + ", ".join(PRESETS)
                problems.append(problem_at(provider.origin, (*path, "preset"), f"{named!r} is not a preset", fix))
            continue
        if not isinstance(provider, Branch) or (text_at(provider, "kind") or preset.kind) != preset.kind:
            continue  # a provider of another kind bears the name by chance
        known: dict[str, Node] = {"kind": grow(preset.kind.value, provider.origin)}
        if "base_url" not in provider.entries:
            known["base_url"] = grow(preset.base_url, provider.origin)
        if preset.litellm_provider is not None:
            known["litellm_provider"] = grow(preset.litellm_provider, provider.origin)
        if not {"api_key", "api_key_file", "credentials"} & provider.entries.keys():
            variable = preset.key_variable
            value = env.get(variable, "") if variable else "none"
            known["api_key"] = Leaf(value=value, origin=provider.origin, shown=f"${{{variable}}}")
        tree = put(tree, path, replace(provider, entries={**known, **provider.entries}))
        allow_private = (*path, "network", "allow_private")
        if preset.allow_private and follow(tree, allow_private)[0] != allow_private:
            tree = put(tree, allow_private, Leaf(value=True, origin=provider.origin))
    return tree, problems


def _secret_files(tree: Node, env: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    problems = []
    for path, leaf in _leaves_at(tree, _SECRET_FILES):
        where = (*path[:-1], str(path[-1]).removesuffix("_file"))
        if follow(tree, where)[0] == where:
            message = f"stands beside {where[-1]}"
            problems.append(problem_at(leaf.origin, path, message, "keep one of the two"))
            continue
        file = _absolute(leaf)
        try:
            with file.open("rb") as opened:
                secret = opened.read(SECRET_BYTES_MAX).decode().strip()
        except (OSError, UnicodeDecodeError) as exc:
            if not is_optional(tree, path):
                reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
                message = f"{leaf.shown or leaf.value} cannot be read: {reason}"
                problems.append(problem_at(leaf.origin, path, message, "check the path and its permissions"))
            continue
        tree = put(tree, where, Leaf(value=secret, origin=leaf.origin, shown=f"the contents of {leaf.value}"))
    return tree, problems


def _paths(tree: Node, env: Mapping[str, str]) -> tuple[Node, list[Problem]]:
    """Make paths relative to the file that names them, and see whether there is something at their end."""
    problems = []
    for path, leaf in _leaves_at(tree, _PATHS):
        file = _absolute(leaf)
        if not file.is_file() and not is_optional(tree, path):
            message = f"there is no file {leaf.shown or leaf.value}"
            problems.append(problem_at(leaf.origin, path, message, "paths are relative to the configuration file"))
        tree = put(tree, path, replace(leaf, value=str(file)))
    return tree, problems


def _leaves_at(tree: Node, patterns: tuple[str, ...]) -> Iterator[tuple[KeyPath, Leaf]]:
    for pattern in patterns:
        for path, node in list(select(tree, pattern)):
            if isinstance(node, Leaf) and isinstance(node.value, str) and node.value:
                yield path, node


def _absolute(leaf: Leaf) -> Path:
    return (leaf.origin.folder or Path()) / str(leaf.value)
