"""Take one call from its key to its settlement, one file a step; the order of the steps is in `open.py`.

Nothing here decides policy: decisions are values made in `router.domain`.
"""
