from pathlib import Path

import pytest

from router.config.documents import FILE_BYTES_MAX, read_document
from router.config.problems import ConfigInvalid
from router.config.tree import flatten


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "mode: observe"), ("a.yml", "mode: observe"),
                                            ("a.toml", "mode = 'observe'")])  # fmt: skip
def test_the_suffix_decides_how_a_file_is_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    tree, _ = read_document(tmp_path / name)

    assert {"mode": "observe"} == flatten(tree)
    assert tmp_path == tree.origin.folder


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfmode = 'observe'")

    assert {"mode": "observe"} == flatten(read_document(tmp_path / "a.toml")[0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{}", "neither YAML nor TOML"),
        ("a.yaml", b"- one", "not a mapping of sections"),
        ("a.yaml", b"a: \xff", "not UTF-8"),
        ("a.yaml", b"#" * (FILE_BYTES_MAX + 1), "larger than"),
        ("a.yaml", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigInvalid, match=message):
        read_document(tmp_path / name)
