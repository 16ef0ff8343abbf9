"""What is shipped: dependencies bounded and locked by hash, what the two wheels hold, the container's properties."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from router import VERSION
from tests.tidy.tree import ROOT, read

RUNTIME_DEPENDENCIES_MAX: Final = 15
"""Each has its line in ADR 0001; ADR 0012 says what the last three are for. Another needs an ADR and a new number."""
CLIENT: Final = "clients/python"
LOCKS: Final = ("run", "dev", "build", "load", "real")
FLOORS: Final = {
    "starlette": "1.0.1",  # below it a multipart body can hold the loop
    "aiohttp": "3.13.4",  # below it requests can be smuggled past its parser
}
ABOUT: Final = r"-[^/]+\.dist-info/(?:METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)"
WHEEL_CONTENTS: Final = {
    "checkrein": re.compile(
        r"router/(?:[a-z_]+/)*[a-z_]+\.py|router/py\.typed|router/adapters/sql/(?:[a-z_]+/)*[a-z0-9_]+\.sql"
        rf"|router/config/reference\.md|checkrein{ABOUT}"
    ),
    "checkrein_client": re.compile(
        rf"checkrein/(?:[a-z0-9_]+/)*[a-z0-9_]+\.pyi?|checkrein/py\.typed|checkrein_client{ABOUT}"
    ),
}


def project(folder: str = ".") -> dict[str, object]:
    table: dict[str, object] = tomllib.loads(read(f"{folder}/pyproject.toml"))["project"]
    return table


def requirements(extra: str = "", *, of: str = ".") -> list[Requirement]:
    table = project(of)
    dependencies, extras = table["dependencies"], table.get("optional-dependencies", {})
    assert isinstance(dependencies, list)
    assert isinstance(extras, dict)
    return [Requirement(text) for text in [*dependencies, *(extras[extra] if extra else ())]]


def locked_requirements(extra: str) -> list[Requirement]:
    """All that an environment needs beside the two packages of this tree."""
    return [one for one in [*requirements(extra), *requirements(of=CLIENT)] if one.name != "checkrein-client"]


def pins(lock: str) -> dict[str, Version]:
    found = re.findall(r"^([a-z0-9-]+)==(\S+)", read(f"requirements/{lock}.lock"), re.MULTILINE)
    return {name: Version(version) for name, version in found}


def test_the_router_stands_on_few_packages_each_bounded_above() -> None:
    direct = requirements()
    unbounded = [one for one in [*direct, *requirements(of=CLIENT)] if not {"<", "=="} & operators(one)]

    assert RUNTIME_DEPENDENCIES_MAX >= len(direct)
    assert [] == [str(one) for one in unbounded]


def operators(requirement: Requirement) -> set[str]:
    return {bound.operator for bound in requirement.specifier}


def test_every_package_that_the_router_stands_on_has_its_line() -> None:
    rows = [line.split("|")[1] for line in read("docs/adr/0001-dependencies.md").splitlines() if line.startswith("|")]
    told = {name.strip().lower() for row in rows for name in row.split(",")}

    assert set() == {one.name.lower() for one in [*requirements(), *requirements(of=CLIENT)]} - told


def test_router_and_client_are_one_version_on_the_same_grpcio() -> None:
    (client,) = (one for one in requirements() if one.name == "checkrein-client")
    (ours, theirs) = (
        {str(one.specifier) for one in requirements(of=folder) if one.name == "grpcio"} for folder in (".", CLIENT)
    )

    assert VERSION == project(CLIENT)["version"]
    assert read("LICENSE") == read(f"{CLIENT}/LICENSE")
    assert f"=={VERSION}" == str(client.specifier)
    assert ours == theirs


@pytest.mark.parametrize(("lock", "extra"), [("run", ""), ("dev", "dev"), ("load", "load"), ("real", "real")])
def test_a_lock_is_up_to_date_with_the_dependencies(lock: str, extra: str) -> None:
    locked = pins(lock)

    for requirement in locked_requirements(extra):
        name = requirement.name.lower().replace("_", "-")
        assert name in locked, f"{name} is missing: run `make lock`"
        assert locked[name] in requirement.specifier, f"{name} {locked[name]} is out of bounds: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_by_hash_and_names_no_source(lock: str) -> None:
    text = read(f"requirements/{lock}.lock").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    assert [] == [line[:80] for line in lines if not re.fullmatch(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)]
    assert "://" not in text
    assert "checkrein" not in text


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


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both, by name, built in the environment at hand, without the network, from the builder that the lock names."""
    target = tmp_path_factory.mktemp("wheels")
    for folder in (".", CLIENT):
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
        subprocess.run(build, cwd=ROOT / folder, check=True, capture_output=True, timeout=30)
    return {path.name.partition("-")[0]: path for path in target.glob("*.whl")}


@pytest.mark.slow
def test_each_wheel_holds_its_own_package_and_nothing_else(wheels: dict[str, Path]) -> None:
    names = {wheel: zipfile.ZipFile(path).namelist() for wheel, path in wheels.items()}

    assert set(WHEEL_CONTENTS) == set(names)
    for wheel, contents in WHEEL_CONTENTS.items():
        assert [] == [name for name in names[wheel] if not contents.fullmatch(name)]
    assert on_disk("router", ".py", ".sql", ".typed") == kept(names["checkrein"], ".py", ".sql", ".typed")
    assert on_disk("checkrein", ".py", ".pyi", ".typed", within=CLIENT) == kept(
        names["checkrein_client"], ".py", ".pyi", ".typed"
    )


def on_disk(package: str, *suffixes: str, within: str = ".") -> set[str]:
    folder = ROOT / within
    return kept([path.relative_to(folder).as_posix() for path in (folder / package).rglob("*")], *suffixes)


def kept(names: list[str], *suffixes: str) -> set[str]:
    return {name for name in names if name.endswith(suffixes)}


@pytest.mark.slow
def test_both_wheels_share_an_environment_and_no_file(wheels: dict[str, Path], tmp_path: Path) -> None:
    fresh = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True, timeout=30)
    pip = [sys.executable, "-m", "pip", "--python", fresh / "bin" / "python", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", *wheels.values()], check=True, timeout=30)

    found = [metadata.Distribution.at(path) for path in fresh.glob("lib/*/site-packages/*.dist-info")]
    installed = {one.name: {str(file) for file in one.files or ()} for one in found}

    assert {"checkrein", "checkrein-client"} == set(installed)
    assert set() == installed["checkrein"] & installed["checkrein-client"]
    assert {"router/py.typed", "../../../bin/checkrein"} <= installed["checkrein"]
    assert "checkrein/py.typed" in installed["checkrein-client"]


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
    assert ["8080 50051 9464"] == stage["EXPOSE"]
    assert ["SIGTERM"] == stage["STOPSIGNAL"]
    assert ['["checkrein", "serve", "--host", "0.0.0.0"]'] == stage["ENTRYPOINT"]
    assert stage["HEALTHCHECK"][0].endswith('CMD ["checkrein", "healthcheck"]')


def test_the_image_has_both_wheels() -> None:
    text = read("Dockerfile")

    assert 2 == text.count("hatchling build --target wheel --directory /tmp/wheel")
    assert f"COPY {CLIENT} {CLIENT}\n" in text
    assert {"!router", f"!{CLIENT}"} <= set(read(".dockerignore").splitlines())


def test_the_image_is_built_from_locks_only() -> None:
    installs = re.findall(r"pip install (.*)", read("Dockerfile"))

    assert 3 == len(installs)
    assert [] == [line for line in installs if "--require-hashes" not in line and "--no-index" not in line]
