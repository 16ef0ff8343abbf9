"""Recognise a key. Every credential that is not good gets the same answer, so that nothing is learned from it."""

import hashlib
import hmac

from router.domain.catalog import Snapshot
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.principal import Principal

_CREDENTIAL_CHARS_MAX = 1_024

BAD_KEY = Refusal(
    fault=Fault.INVALID_KEY,
    message="This key is not valid here. Send `Authorization: Bearer <key>` with a key of this router's operator.",
)


def authenticate(credential: str | None, *, snapshot: Snapshot, wall_ns: int, local: bool) -> Principal:
    """Return the key's principal. `local`: the caller is on this machine and no proxy stands between.

    Raises `RouterError(BAD_KEY)` alike for a missing, malformed, unknown, expired or revoked key.
    """
    if credential is None or len(credential) > _CREDENTIAL_CHARS_MAX:
        raise RouterError(BAD_KEY)
    digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
    entry = snapshot.keys.get(digest)
    # The look-up compares digests, of which a caller controls no chosen part; the comparison makes that explicit.
    if entry is None or not hmac.compare_digest(entry.sha256, digest):
        raise RouterError(BAD_KEY)
    expired = entry.expires_ns is not None and wall_ns >= entry.expires_ns
    if entry.revoked or expired or (entry.local_only and not local):
        raise RouterError(BAD_KEY)
    return entry.principal
