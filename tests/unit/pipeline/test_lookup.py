"""There is no cache yet."""

from router.pipeline.lookup import Lookup, lookup
from tests.support.pipeline import Rig


def test_every_call_misses() -> None:
    assert Lookup.MISS is lookup(Rig().call())
