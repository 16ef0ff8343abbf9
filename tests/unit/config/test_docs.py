from pathlib import Path

from router.config.reference import REGENERATE, render_page

PAGE = Path(__file__).parents[3] / "docs" / "config.md"


def test_the_page_and_the_schema_say_the_same() -> None:
    assert render_page() == PAGE.read_text(encoding="utf-8"), f"regenerate the page: {REGENERATE}"
