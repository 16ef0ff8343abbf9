"""No rule is in force yet."""

from router.pipeline.screen import screen
from tests.support.pipeline import Rig


def test_every_call_passes() -> None:
    assert screen(Rig().call()) is None
