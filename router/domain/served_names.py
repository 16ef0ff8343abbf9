"""Decide whether the model that a provider says it served is the one that it was asked for."""

import re
from functools import lru_cache
from typing import Final

_LATEST: Final = "latest"
_VERSION: Final = re.compile(
    r"[-@:](latest|\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3}|v\d{1,3}(?::\d{1,3})?)$", re.ASCII | re.IGNORECASE
)
"""What providers add to a name: the day of a release, four digits of one, a revision, or that it is the latest."""


@lru_cache(maxsize=1024)
def is_same_model(asked: str, served: str) -> bool:
    """Tell whether two names are one model's.

    Providers put folders before a name and a version after it, and answer `gpt-5` with `gpt-5-2026-01-01`. Two versions
    that differ are two models; one that only one of them says is news, not another model.
    """
    (asked_stem, asked_version), (served_stem, served_version) = _parts(asked), _parts(served)
    if asked_stem != served_stem:
        return False
    return asked_version == served_version or not {asked_version, served_version}.isdisjoint({"", _LATEST})


def _parts(name: str) -> tuple[str, str]:
    """Return a name without folders and version, and the version."""
    last = name.strip().lower().removesuffix(".gguf").rpartition("/")[2]
    found = _VERSION.search(last)
    return (last, "") if found is None else (last[: found.start()], found[1].replace("-", ""))
