"""Say what is wrong with a configuration: every problem at once, each with its place and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass

from router.config.tree import KeyPath, Leaf, Node, Origin, follow, format_path

_SHOWN_CHARS_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend. Never holds the value of a secret, a variable or a file."""

    path: str
    file: str | None = None
    """The file as it was named to us, a variable of the environment, or `command line`."""
    line: int | None = None
    message: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        parts = (place, self.path, f"{self.message}; {self.fix}" if self.fix else self.message)
        return ": ".join(part for part in parts if part).replace("\n", " ")


class ConfigInvalid(Exception):
    """The configuration cannot be used. Holds every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=_place))
        super().__init__("\n".join(map(str, self.problems)))


def _place(problem: Problem) -> tuple[str, int, str]:
    return problem.file or "", problem.line or 0, problem.path


def problem_at(origin: Origin, path: KeyPath, message: str, fix: str = "") -> Problem:
    return Problem(path=format_path(path), file=origin.source, line=origin.line, message=message, fix=fix)


def problem_in(tree: Node, path: KeyPath, message: str, fix: str = "") -> Problem:
    """Place a problem at a path of the tree, or at the nearest place above it that was written down."""
    return problem_at(follow(tree, path)[1].origin, path, message, fix)


def quote(leaf: Leaf) -> str:
    """Quote a value in a message: as it was written, never what a variable or a file made of it."""
    text = leaf.value if leaf.shown is None else leaf.shown
    if not isinstance(text, str):
        return "null" if text is None else str(text).lower()
    return f"'{text[:_SHOWN_CHARS_MAX]}…'" if len(text) > _SHOWN_CHARS_MAX else f"'{text}'"
