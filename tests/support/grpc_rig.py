"""A pipeline over fakes behind the gRPC façade, for unit tests: one key, and a border with patience."""

import hashlib
from dataclasses import replace

from router.domain.catalog import Snapshot
from router.domain.ids import KeyId
from router.domain.principal import KeyEntry, Principal
from router.facades.grpc.border import Border
from router.facades.grpc.chat import chat_service
from router.facades.grpc.limits import GrpcLimits
from router.facades.grpc.server import GrpcServer
from router.facades.tls import Tls
from router.pipeline.open import Pipeline
from tests.support import fakes
from tests.support.pipeline import Rig
from tests.support.running import KEY


class GrpcRig(Rig):
    def __init__(
        self,
        snapshot: Snapshot | None = None,
        *,
        models: tuple[str, ...] = ("*",),
        local_only: bool = False,
        write_timeout_ns: int = fakes.SECOND,
    ) -> None:
        digest = hashlib.sha256(KEY.encode()).digest()
        entry = KeyEntry(sha256=digest, principal=Principal(key_id=KeyId("test"), models=models), local_only=local_only)
        super().__init__(replace(snapshot or fakes.snapshot(), keys={digest: entry}))
        self.border = Border(self.pipeline, write_timeout_ns=write_timeout_ns)


def chat_server(pipeline: Pipeline, address: str, limits: GrpcLimits, tls: Tls | None = None) -> GrpcServer:
    """A server of chats alone, which is not started."""
    return GrpcServer([chat_service(Border(pipeline, write_timeout_ns=limits.write_timeout_ns))], address, limits, tls)
