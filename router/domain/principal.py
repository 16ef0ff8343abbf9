"""Say who a caller is and what its key may do."""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from router.domain.ids import KeyId, ModelName


class Permission(StrEnum):
    INFERENCE = "inference"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A key that was recognised: its grants and the tenants that it spends for."""

    key_id: KeyId
    organization: str | None = None
    team: str | None = None
    user: str | None = None
    models: tuple[str, ...] = ()
    """Shell patterns over model names; `*` grants all."""
    permissions: frozenset[Permission] = frozenset({Permission.INFERENCE})

    def may_use(self, model: ModelName) -> bool:
        return "*" in self.models or model in self.models or any(fnmatchcase(model, one) for one in self.models)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A key as it is stored: only the SHA-256 of its secret, never the secret."""

    sha256: bytes
    principal: Principal
    local_only: bool = False
    """The secret ends in `-local`: it works over loopback only."""
    expires_ns: int | None = None
    revoked: bool = False
