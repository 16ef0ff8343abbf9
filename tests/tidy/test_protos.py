"""The proto files keep what docs/grpc.md says of them: every field is explained, what is frozen stays, stubs run."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from packaging.requirements import Requirement
from packaging.version import Version

from tests.tidy.test_packaging import requirements
from tests.tidy.tree import ROOT, read, tracked

UNFROZEN: Final = {f"checkrein/v1/{name}.proto" for name in ("approvals", "events", "workflow")}
BUF: Final = Path(sys.executable).with_name("buf")
BREAKS: Final = 100
"""What buf exits with when it has something to object to."""

FIELD: Final = re.compile(r"\s+(?:(optional|repeated) )?(map<.+>|[\w.]+) (\w+) = \d+;")
SAYS: Final = {
    "optional": re.compile(r"\bAbsent\b"),
    "repeated": re.compile(r"\bEmpty\b|\bnever empty\b|at least one|One for each"),
    "string": re.compile(r"\bEmpty\b|Never empty|never empty"),
    "bytes": re.compile(r"\bEmpty\b"),
    "bool": re.compile(r"Default: false|Whether"),
    "message": re.compile(r"\bAbsent\b|Always set"),
    "enum": re.compile(r"\bUnset\b|Always set"),
}
NUMBERS: Final = {"int32", "int64", "double"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    place: str
    label: str | None
    kind: str
    name: str
    comment: str
    chosen: bool
    """One of several: its oneof says what the absence of all means."""


def proto_files() -> list[str]:
    return [name for name in tracked() if name.startswith("protos/") and name.endswith(".proto")]


def fields() -> Iterator[Field]:
    for name in proto_files():
        comment: list[str] = []
        oneof = False
        for number, line in enumerate(read(name).splitlines(), 1):
            if (text := line.strip()).startswith("//"):
                comment.append(text.removeprefix("//").strip())
                continue
            oneof = text.startswith("oneof ") or (oneof and text != "}")
            if found := FIELD.fullmatch(line):
                label, kind, field = found.groups()
                said = " ".join(comment)
                place = f"{name}:{number} {field}"
                yield Field(place=place, label=label, kind=kind, name=field, comment=said, chosen=oneof)
            comment = []


def enums() -> set[str]:
    return {found for name in proto_files() for found in re.findall(r"\benum (\w+)", read(name))}


def rule_of(field: Field, enumerations: set[str]) -> re.Pattern[str] | None:
    if field.chosen or (field.kind in NUMBERS and field.label is None):
        return None
    if field.kind.startswith("map<"):
        return SAYS["repeated"]
    kind = "enum" if field.kind.split(".")[-1] in enumerations else "message"
    return SAYS[field.label or (field.kind if field.kind in SAYS else kind)]


def test_every_field_says_what_its_absence_means() -> None:
    known, enumerations = list(fields()), enums()

    assert len(known) > 300
    assert [] == [
        field.place
        for field in known
        if (rule := rule_of(field, enumerations)) is not None and not rule.search(field.comment)
    ]


def test_money_is_nano_usd_and_says_so() -> None:
    money = re.compile(r"Nano-USD")

    assert [] == [
        field.place for field in fields() if field.name.endswith("_nano_usd") != bool(money.search(field.comment))
    ]
    assert [] == [
        field.place
        for field in fields()
        if field.kind in {"double", "float"} and re.search("usd|cost|price", field.name)
    ]


def test_nothing_is_a_struct() -> None:
    assert [] == [name for name in proto_files() if re.search(r"google/protobuf/(?:struct|any)\.proto", read(name))]


def test_the_frozen_files_are_all_but_those_without_a_server() -> None:
    frozen = FileDescriptorSet.FromString((ROOT / "protos/frozen.binpb").read_bytes())
    ours = {file.name for file in frozen.file if not file.name.startswith("google/")}

    assert {name.removeprefix("protos/") for name in proto_files()} - UNFROZEN == ours
    assert [] == [file.name for file in frozen.file if UNFROZEN & set(file.dependency)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "exit_code"),
    [
        ("checkrein/v1/common.proto", "optional string agent = 3;", "", BREAKS),
        ("checkrein/v1/common.proto", "optional string agent = 3;", "optional string agent = 33;", BREAKS),
        ("checkrein/v1/common.proto", "optional string agent = 3;", "optional bytes agent = 3;", BREAKS),
        ("checkrein/v1/common.proto", "optional string agent = 3;", "optional string caller = 3;", BREAKS),
        ("checkrein/v1/chat_service.proto", "returns (stream ", "returns (", BREAKS),
        ("checkrein/admin/v1/keys.proto", "string secret = 2;", "", BREAKS),
        ("checkrein/v1/common.proto", "optional string agent = 3;", "optional string agent = 3; bool more = 99;", 0),
        ("checkrein/v1/workflow.proto", "int32 max_depth = 6;", "", 0),
    ],
)
def test_what_is_frozen_may_grow_and_do_nothing_else(
    tmp_path: Path, file: str, old: str, new: str, exit_code: int
) -> None:
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    changed = tmp_path / "protos" / file
    text = changed.read_text()
    assert old in text
    changed.write_text(text.replace(old, new))

    done = subprocess.run(
        [BUF, "breaking", "--against", "protos/frozen.binpb"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        timeout=20,
    )

    assert exit_code == done.returncode, done.stdout + done.stderr


def test_stubs_run_on_the_oldest_grpcio_that_the_router_does() -> None:
    oldest = {Version(bound.version) for one in named("grpcio") for bound in one.specifier if bound.operator == ">="}
    stubs = [name for name in tracked() if name.endswith("_pb2_grpc.py")]
    made_by = {Version(found) for name in stubs for found in re.findall(r"GRPC_GENERATED_VERSION = '(.+)'", read(name))}

    assert len(proto_files()) == len(stubs)
    assert oldest == made_by


def named(package: str) -> list[Requirement]:
    return [one for one in requirements() if one.name == package]
