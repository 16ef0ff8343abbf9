"""Providers that are asked beside inference: what they answer, and what they were asked."""

from router.domain.dispatch.failure import Failure
from router.domain.ids import ProviderId
from router.ports.aside import AsideRequest
from router.ports.upstream import UpstreamFailed


class FedAsides:
    """`Asides` and `Aside` in one."""

    def __init__(self) -> None:
        self.asked: list[AsideRequest] = []
        self.answer: bytes | Failure = b"{}"
        self.absent = False

    def find_aside(self, _provider: ProviderId) -> "FedAsides | None":
        return None if self.absent else self

    async def ask(self, request: AsideRequest) -> bytes:
        self.asked.append(request)
        if isinstance(self.answer, Failure):
            raise UpstreamFailed(self.answer)
        return self.answer
