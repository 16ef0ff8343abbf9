from decimal import Decimal
from pathlib import Path

import pytest

from router.config.document_toml import parse_toml
from router.config.problems import ConfigInvalid
from router.config.tree import Origin, flatten, follow

ORIGIN = Origin(source="f.toml", folder=Path())
TEXT = """\
mode = "observe"

[server.http]   # a comment
port = 9000
drain.grace = "5s"

[[models]]
name = "a"
[[models.deployments]]
provider = "x"
[[models.deployments]]
price = { input = 1.10, output = 2 }
[[models]]
name = "b"
"""


def test_toml_reads_as_yaml_does_with_exact_numbers() -> None:
    tree = parse_toml("a = 1.10\nb = 2027-01-31\nc = 2027-01-31T12:00:00Z\n", ORIGIN)

    assert {"a": Decimal("1.10"), "b": "2027-01-31", "c": "2027-01-31T12:00:00+00:00"} == flatten(tree)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("mode",), 1), (("server", "http"), 3), (("server", "http", "port"), 4),
        (("server", "http", "drain", "grace"), 5), (("models", 0), 7), (("models", 0, "name"), 8),
        (("models", 0, "deployments", 1), 11), (("models", 0, "deployments", 1, "price", "input"), 12),
        (("models", 1, "name"), 14),
    ],
)  # fmt: skip
def test_keys_are_found_at_their_lines(path: tuple[str | int, ...], line: int) -> None:
    reached, node = follow(parse_toml(TEXT, ORIGIN), path)

    assert (path, line) == (reached, node.origin.line)


def test_text_that_is_not_toml_names_the_line() -> None:
    with pytest.raises(ConfigInvalid, match=r"f\.toml:2: not TOML"):
        parse_toml("a = 1\nb = \n", ORIGIN)
