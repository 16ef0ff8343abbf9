"""What is shipped: dependencies bounded and locked by hash, the wheel's contents, the container's properties."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.tidy.tree import ROOT, read

RUNTIME_DEPENDENCIES_MAX: Final = 12
LOCKS: Final = ("run", "dev", "build", "load", "real")
FLOORS: Final = {
    "starlette": "1.0.1",  # below it a multipart body can hold the loop
    "aiohttp": "3.13.4",  # below it requests can be smuggled past its parser
}
WHEEL_CONTENTS: Final = re.compile(
    r"router/(?:[a-z_]+/)*[a-z_]+\.py|router/py\.typed|router/adapters/sql/(?:[a-z_]+/)*[a-z0-9_]+\.sql"
    r"|router/config/reference\.md"
    r"|checkrein-[^/]+\.dist-info/(?:METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
)


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads(read("pyproject.toml"))["project"]
    return table


def requirements(extra: str) -> list[Requirement]:
    table = project()
    dependencies, extras = table["dependencies"], table["optional-dependencies"]
    assert isinstance(dependencies, list)
    assert isinstance(extras, dict)
    return [Requirement(text) for text in [*dependencies, *(extras[extra] if extra else ())]]


def pins(lock: str) -> dict[str, Version]:
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", read(f"requirements/{lock}.lock"), re.MULTILINE)
    return {name: Version(version) for name, version in found}


def test_the_router_stands_on_few_packages_each_bounded_above() -> None:
    direct = requirements("")

    assert RUNTIME_DEPENDENCIES_MAX >= len(direct)
    assert [] == [str(one) for one in direct if not any(bound.operator in {"<", "=="} for bound in one.specifier)]


@pytest.mark.parametrize(("lock", "extra"), [("run", ""), ("dev", "dev"), ("load", "load"), ("real", "real")])
def test_a_lock_is_up_to_date_with_the_dependencies(lock: str, extra: str) -> None:
    locked = pins(lock)

    for requirement in requirements(extra):
        name = requirement.name.lower().replace("_", "-")
        assert name in locked, f"{name} is missing: run `make lock`"
        assert locked[name] in requirement.specifier, f"{name} {locked[name]} is out of bounds: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_source(lock: str) -> None:
    text = read(f"requirements/{lock}.lock").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    assert [] == [line[:80] for line in lines if not re.fullmatch(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)]
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_agree_so_that_one_environment_can_hold_them_all(lock: str) -> None:
    everything = pins("dev")

    assert {} == {
        name: str(version) for name, version in pins(lock).items() if everything.get(name, version) != version
    }


@pytest.mark.parametrize("lock", ["run", "dev"])
@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_a_package_is_not_below_the_version_that_mended_it(lock: str, name: str, floor: str) -> None:
    assert Version(floor) <= pins(lock)[name]


@pytest.mark.slow
def test_the_wheel_holds_the_router_and_nothing_else(tmp_path: Path) -> None:
    # Built in the environment at hand, without the network, from the builder that the lock names.
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=30)

    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert [] == [name for name in names if not WHEEL_CONTENTS.fullmatch(name)]
    assert {"router/py.typed", "router/domain/faults.py"} <= set(names)
    on_disk = {path.relative_to(ROOT).as_posix() for path in (ROOT / "router").rglob("*.sql")}
    assert on_disk == {name for name in names if name.endswith(".sql")}


def dockerfile() -> dict[str, list[str]]:
    """Read the last stage of the Dockerfile: each instruction's arguments, in order."""
    text = re.sub(r"^#.*\n", "", read("Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    stage: dict[str, list[str]] = {}
    for line in text.splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            stage = {}
        if instruction:
            stage.setdefault(instruction, []).append(arguments.strip())
    return stage


def test_the_container_runs_as_a_number_that_is_not_root() -> None:
    (user,) = dockerfile()["USER"]

    assert re.fullmatch(r"[1-9]\d*:\d+", user)


def test_the_container_writes_to_its_volume_alone() -> None:
    stage = dockerfile()

    assert ["/var/lib/checkrein"] == stage["VOLUME"] == stage["WORKDIR"]
    assert any("PYTHONDONTWRITEBYTECODE=1" in line for line in stage["ENV"])


def test_the_container_knows_that_it_is_one_and_says_how_it_is() -> None:
    stage = dockerfile()

    assert any("CHECKREIN_CONTAINER=1" in line for line in stage["ENV"])
    assert ["8080 9464"] == stage["EXPOSE"]
    assert ["SIGTERM"] == stage["STOPSIGNAL"]
    assert ['["checkrein", "serve", "--host", "0.0.0.0"]'] == stage["ENTRYPOINT"]
    assert stage["HEALTHCHECK"][0].endswith('CMD ["checkrein", "healthcheck"]')


def test_the_image_is_built_from_locks_only() -> None:
    installs = re.findall(r"pip install (.*)", read("Dockerfile"))

    assert 3 == len(installs)
    assert [] == [line for line in installs if "--require-hashes" not in line and "--no-index" not in line]
