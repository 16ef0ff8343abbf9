from pathlib import Path

import pytest

from router.config import Sources
from tests.unit.config.conftest import sources


def touch(file: Path) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def test_files_come_lowest_layer_first_and_absent_ones_not_at_all(tmp_path: Path) -> None:
    project = touch(tmp_path / "project" / "checkrein.yaml")
    system = touch(tmp_path / "system" / "checkrein.toml")
    explicit = touch(tmp_path / "mine.yaml")

    assert [system, project, explicit] == list(sources(tmp_path, explicit=explicit).files())


def test_an_explicit_file_that_is_absent_is_still_asked_for(tmp_path: Path) -> None:
    assert [tmp_path / "no.yaml"] == list(sources(tmp_path, explicit=tmp_path / "no.yaml").files())


def test_a_file_named_explicitly_is_read_once_and_on_top(tmp_path: Path) -> None:
    project = touch(tmp_path / "project" / "checkrein.yaml")
    same = tmp_path / "project" / ".." / "project" / "checkrein.yaml"

    assert [same] == list(sources(tmp_path, explicit=same).files())
    assert [project] == list(sources(tmp_path).files())


def test_the_real_places_follow_the_variables_of_the_user() -> None:
    real = Sources.of_process({"XDG_CONFIG_HOME": "/x", "HOME": "/home/u", "CHECKREIN_CONFIG": "c.yaml"})

    assert (Path("/x/checkrein/checkrein.yaml"), Path("c.yaml")) == (real.user, real.explicit)
    assert Path("/home/u/.config/checkrein/checkrein.yaml") == Sources.of_process({"HOME": "/home/u"}).user


def test_the_command_line_names_the_file_before_the_variable_does() -> None:
    named = Sources.of_process({"CHECKREIN_CONFIG": "c.yaml"}, explicit=Path("d.yaml"))

    assert Path("d.yaml") == named.explicit


@pytest.mark.parametrize(("value", "inside"), [("1", True), ("0", False), ("", False)])
def test_our_image_says_that_it_is_a_container(value: str, inside: bool) -> None:
    assert inside is Sources.of_process({"HOME": "/", "CHECKREIN_CONTAINER": value}).in_container


def test_the_environment_is_not_shown() -> None:
    assert "hunter2" not in repr(Sources.of_process({"HOME": "/", "OPENAI_API_KEY": "hunter2"}))
