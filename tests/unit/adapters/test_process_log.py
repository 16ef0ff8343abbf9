"""What the process says: one line a record, and never the message of an exception."""

import json
import logging
from collections.abc import Iterator

import pytest

from router.adapters.process_log import set_up_process_log


@pytest.fixture(autouse=True)
def kept_logging() -> Iterator[None]:
    """Give the loggers back as they were."""
    names = (None, "router", "uvicorn.error", "uvicorn.access", "asyncio", "aiosqlite")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers
    yield
    logging.getLogger().handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def boom() -> None:
    raise ValueError("sk-canary")


def log_a_failure() -> None:
    try:
        boom()
    except ValueError:
        logging.getLogger("router.test").exception("it broke")


def test_json_is_one_object_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_process_log(level="info", style="json")
    logging.getLogger("router.test").info("serving %s", "here")
    line = json.loads(capsys.readouterr().err)

    assert ("info", "serving here", "router.test", None) == tuple(
        line[name] for name in ("level", "event", "logger", "error")
    )
    assert 1_600_000_000_000 < line["ts_ms"]


@pytest.mark.parametrize("style", ["json", "text"])
def test_an_exception_shows_its_type_and_place_and_not_its_words(
    style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_process_log(level="info", style=style)  # type: ignore[arg-type]  # one of the two
    log_a_failure()
    said = capsys.readouterr().err

    assert 1 == said.count("\n")
    assert "it broke" in said
    assert "ValueError at test_process_log.py:" in said
    assert ":boom" in said
    assert "canary" not in said


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_process_log(level="info", style="text")
    logging.getLogger("router.test").warning("mind the gap")

    assert "warning: mind the gap\n" == capsys.readouterr().err


def test_the_level_is_ours_and_libraries_speak_only_of_errors(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_process_log(level="debug", style="text")
    logging.getLogger("router.test").debug("heard")
    logging.getLogger("uvicorn.error").warning("not heard")
    logging.getLogger("uvicorn.error").error("heard too")
    logging.getLogger("another").info("not heard")
    set_up_process_log(level="error", style="text")
    logging.getLogger("router.test").warning("not heard")

    assert "debug: heard\nerror: heard too\n" == capsys.readouterr().err
