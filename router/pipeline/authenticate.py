"""Recognise a key. Every credential that is not good gets the same answer, so that nothing is learned from it."""

import hashlib
import hmac

from router.domain.catalog import Snapshot
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.principal import STORED_PREFIX, Principal

_CREDENTIAL_CHARS_MAX = 1_024
_STORE_RETRY_MS = 1_000

BAD_KEY = Refusal(
    fault=Fault.INVALID_KEY,
    message="This key is not valid here. Send `Authorization: Bearer <key>` with a key of this router's operator.",
)

STORE_DOWN = Refusal(
    fault=Fault.OVERLOADED,
    message="The router cannot look this key up now. Try again shortly.",
    retry_after_ms=_STORE_RETRY_MS,
)


def authenticate(
    credential: str | None, *, snapshot: Snapshot, wall_ns: int, local: bool, store_unseen_ns: int = 0
) -> Principal:
    """Return the key's principal. `local`: the caller is on this machine and no proxy stands between.

    Raises `RouterError(BAD_KEY)` alike for a missing, malformed, unknown, expired or revoked key. While the store
    cannot be looked at, a key that may be in there is not called bad, and one that was in there is good for a grace.
    """
    if credential is None or len(credential) > _CREDENTIAL_CHARS_MAX:
        raise RouterError(BAD_KEY)
    digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
    entry = snapshot.keys.get(digest)
    if store_unseen_ns and (
        credential.startswith(STORED_PREFIX)
        if entry is None
        else entry.stored and store_unseen_ns > snapshot.keys_grace_ns
    ):
        raise RouterError(STORE_DOWN)
    # The look-up compares digests, of which a caller controls no chosen part; the comparison makes that explicit.
    if entry is None or not hmac.compare_digest(entry.sha256, digest):
        raise RouterError(BAD_KEY)
    expired = entry.expires_ns is not None and wall_ns >= entry.expires_ns
    if entry.revoked or expired or (entry.local_only and not local):
        raise RouterError(BAD_KEY)
    return entry.principal
