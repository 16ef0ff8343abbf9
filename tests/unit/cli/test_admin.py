"""What the administering commands share: they add actions, read settings and pages, and write names safely."""

import argparse
from pathlib import Path

import pytest

from router.cli.admin import Refused, actions_of, part, printed_as_json, read_settings, when


def run(action: object, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    actions_of(parser)("go", action, "about it")  # type: ignore[arg-type]  # a function of the options
    options = parser.parse_args(["go", *arguments])
    status: int = options.run(options)
    return status


@pytest.mark.parametrize(
    ("raised", "status"), [(Refused("no"), 1), (ConnectionRefusedError("no"), 1), (ValueError("no"), 2), (None, 0)]
)
def test_what_goes_wrong_is_said_and_becomes_a_status(
    raised: Exception | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(_options: argparse.Namespace) -> None:
        if raised is not None:
            raise raised

    assert status == run(act)
    assert (raised is not None) == ("no" in capsys.readouterr().err)


def test_settings_are_an_object_or_nothing(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    assert {} == read_settings(None)
    file.write_text('{"limits":{"rpm":5}}')
    assert {"limits": {"rpm": 5}} == read_settings(file)
    file.write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        read_settings(file)


def test_a_name_is_one_part_of_a_path_whatever_is_in_it() -> None:
    assert "key%2Fci%2Fusd%2Fday%40UTC" == part("key/ci/usd/day@UTC")
    assert "%3F%26%23%C3%A9" == part("?&#é")


def test_a_moment_is_written_in_utc_or_left_out() -> None:
    assert ("2027-01-15 08:00:00Z", "-") == (when(1_800_000_000_000), when(None))


def test_json_is_printed_when_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    printed = [printed_as_json(argparse.Namespace(json=wanted), {"a": 1}) for wanted in (True, False)]

    assert [True, False] == printed
    assert '{\n  "a": 1\n}\n' == capsys.readouterr().out
