"""Read JSON from the store or an administrator as a section of the configuration, and name what is wrong with it."""

from collections.abc import Iterator
from typing import TypeVar

import msgspec
from pydantic import ValidationError

from router.config.section import Section
from router.config.tree import format_path
from router.ports.keys import SettingsRefused

S = TypeVar("S", bound=Section)


def read_section(section: type[S], settings_json: str) -> S:
    """Type what is stored, or to be stored, as a section of the configuration.

    Raises `SettingsRefused`, with every problem and no value.
    """
    try:
        return section.model_validate(msgspec.json.decode(settings_json))
    except msgspec.DecodeError:
        raise SettingsRefused("no JSON") from None
    except ValidationError as error:
        # Not `from error`: a traceback of pydantic's holds the values.
        problems = tuple(_problems(error))
        text = "; ".join(f"`{path}` {said}" for path, said in problems)
        raise SettingsRefused(text, param=problems[0][0] or None) from None


def _problems(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Yield the path of each, and what is wrong there."""
    for found in error.errors(include_url=False, include_input=False):
        fix = found.get("ctx", {}).get("fix")
        yield format_path(tuple(found["loc"])), found["msg"] + (f", {fix}" if fix else "")
