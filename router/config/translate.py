"""Turn what pydantic says into problems that an operator can act on, quoting no value that may be a secret."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from router.config.presets import PRESETS
from router.config.problems import Problem, problem_in, quote
from router.config.reference import keys_at
from router.config.tree import KeyPath, Leaf, Node, Row, child, follow, text_at
from router.config.units import INVALID, INVALID_SECRET

_QUOTE: Final = "'"

_SHOULD_BE: Final[Mapping[str, tuple[str, str]]] = {
    "int_parsing": ("is not a whole number", "write digits only"),
    "int_type": ("is not a whole number", "write digits only"),
    "int_from_float": ("is not a whole number", "write digits only"),
    "float_parsing": ("is not a number", "write it as 0.5"),
    "float_type": ("is not a number", "write it as 0.5"),
    "decimal_parsing": ("is not a number", "write it as 2.50, without a currency"),
    "decimal_type": ("is not a number", "write it as 2.50, without a currency"),
    "finite_number": ("is not a number", "write it as 0.5"),
    "bool_parsing": ("is neither true nor false", "write true or false"),
    "bool_type": ("is neither true nor false", "write true or false"),
    "string_type": ("is not text", "put it in quotes"),
    "string_too_short": ("is empty", "write something, or leave the key out"),
    "string_too_long": ("is too long", "make it shorter"),
    "string_pattern_mismatch": ("is not a plain word", "use lower case letters, digits and `_`"),
}

_CONTAINERS: Final[Mapping[str, tuple[str, str]]] = {
    "tuple_type": ("is not a list", "write [one, two], or an item a line, each after `- `"),
    "dict_type": ("is not a mapping", "write { name: value }, or a name a line"),
    "model_type": ("is not a mapping", "write { name: value }, or a name a line"),
    "model_attributes_type": ("is not a mapping", "write { name: value }, or a name a line"),
}

_BOUNDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "greater_than_equal": ("is too small", "use at least", "ge"),
    "greater_than": ("is too small", "use more than", "gt"),
    "less_than_equal": ("is too large", "use at most", "le"),
    "less_than": ("is too large", "use less than", "lt"),
}


def translate(error: ValidationError, tree: Node) -> Iterator[Problem]:
    for details in error.errors(include_url=False, include_input=False):
        yield from _translate(details, details["loc"], tree)


def _translate(details: ErrorDetails, loc: KeyPath, tree: Node) -> Iterator[Problem]:
    kind, context = details["type"], details.get("ctx", {})
    reached, node = follow(tree, loc)
    subject = f"{quote(node)} " if isinstance(node, Leaf) and reached == loc else ""
    if kind == "missing":
        fix = _suggest_preset(text_at(node, "name")) if loc[-1] == "kind" else "add it"
        yield problem_in(tree, loc, "is missing", fix)
    elif kind == "extra_forbidden":
        yield problem_in(tree, loc, "unknown key", _suggest(str(loc[-1]), keys_at(loc[:-1])))
    elif kind in ("enum", "literal_error"):
        fix = f"use one of {str(context['expected']).replace(_QUOTE, '')}"
        yield problem_in(tree, reached, subject + _not_one(reached), fix)
    elif kind == INVALID:
        yield problem_in(tree, reached, subject + str(context["predicate"]), str(context["fix"]))
    elif kind == INVALID_SECRET:
        yield problem_in(tree, reached, str(context["predicate"]), str(context["fix"]))
    elif kind in _BOUNDS:
        predicate, words, bound = _BOUNDS[kind]
        yield problem_in(tree, reached, subject + predicate, f"{words} {context[bound]}")
    elif kind in _CONTAINERS:
        predicate, fix = _CONTAINERS[kind]
        yield problem_in(tree, reached, predicate, fix)
    elif kind == "too_short":
        # pydantic counts only the items that are valid; the others have their own problems.
        if not (isinstance(node, Row) and child(node, 0) is not None):
            yield problem_in(tree, reached, "is empty", "add at least one")
    else:
        predicate, fix = _SHOULD_BE.get(kind, (f"is not understood ({kind})", "see docs/config.md"))
        yield problem_in(tree, reached, subject + predicate, fix)


def _not_one(path: KeyPath) -> str:
    """Say what a value fails to be, in the words of its own key."""
    name = next((str(step) for step in reversed(path) if isinstance(step, str)), "value")
    if not path or isinstance(path[-1], int):
        return f"is not one of the {name}"
    return f"is not {'an' if name[0] in 'aeiou' else 'a'} {name}"


def _suggest_preset(name: str | None) -> str:
    close = get_close_matches(name or "", PRESETS, 1)
    first = f"did you mean the preset '{close[0]}'? Else" if close else "use the name of a preset, or"
    return f"{first} say kind: openai_compatible"


def _suggest(key: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(key, known, 1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known here: " + ", ".join(known) if known else "remove it"
