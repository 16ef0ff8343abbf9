"""Load a configuration from text, as if it were the only file of the machine."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from router.config import ConfigInvalid, Loaded, Sources, load
from router.config.tree import Scalar

Load: TypeAlias = Callable[..., Loaded]
Problems: TypeAlias = Callable[..., list[str]]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    def load_it(
        text: str,
        *,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, Scalar] | None = None,
        suffix: str = ".yaml",
    ) -> Loaded:
        file = tmp_path / f"config{suffix}"
        file.write_text(text)
        return load(sources(tmp_path, explicit=file, env=env, overrides=overrides))

    return load_it


@pytest.fixture
def problems_of(load_text: Load, tmp_path: Path) -> Problems:
    """Return each problem as its line of text, without the folder of the test."""

    def find(text: str, **given: object) -> list[str]:
        with pytest.raises(ConfigInvalid) as caught:
            load_text(text, **given)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return find


def sources(
    folder: Path,
    *,
    explicit: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Scalar] | None = None,
) -> Sources:
    return Sources(
        explicit=explicit,
        env=env or {},
        overrides=overrides or {},
        system=folder / "system" / "checkrein.yaml",
        user=folder / "user" / "checkrein.yaml",
        project=folder / "project" / "checkrein.yaml",
    )
