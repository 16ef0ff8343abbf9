"""A pipeline behind gRPC's border, for unit tests of services: a key, its caller, and what is sent and said."""

import hashlib
from dataclasses import replace
from typing import Final

from router.domain.catalog import Model, Snapshot
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.grpc.border import Border
from tests.support.fakes import SECOND, deployment, principal, snapshot
from tests.support.pipeline import Rig

KEY: Final = "sk-unit-key"
NARROW: Final = "sk-narrow-key"
ADMIN: Final = "sk-admin-key"


class GrpcStage:
    """`border` is to be given to a service. Each key has a name of its own: `ci`, `narrow`, `admin`."""

    def __init__(self, config: Snapshot | None = None) -> None:
        keys = {
            KEY: principal("*"),
            NARROW: replace(principal("small"), key_id=KeyId("narrow")),
            ADMIN: replace(principal("*"), key_id=KeyId("admin"), permissions=frozenset({Permission.ADMIN})),
        }
        self.rig = Rig(replace(config or snapshot(), keys=dict(map(_entry, keys.items()))))
        self.pipeline = self.rig.pipeline
        self.border = Border(self.pipeline, write_timeout_ns=SECOND)


def speaking(model: str, **members: object) -> Snapshot:
    """A configuration with one model, whose deployment has such members."""
    name = next(name for name in snapshot().models if name == model)
    one = Model(name=name, deployments=(replace(deployment(), **members),))  # type: ignore[arg-type]  # its own
    return replace(snapshot(), models={name: one})


def _entry(one: tuple[str, Principal]) -> tuple[bytes, KeyEntry]:
    sha256 = hashlib.sha256(one[0].encode()).digest()
    return sha256, KeyEntry(sha256=sha256, principal=one[1])
