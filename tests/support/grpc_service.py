"""Ask a service of gRPC for what it does, without a wire: its methods, and a caller who is known already."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final

from google.protobuf.message import Message

from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal

BOSS: Final = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))
USER: Final = Principal(key_id=KeyId("user"))


class Methods:
    """Stands for a border whose methods are asked as they are; the border has its own tests."""

    def unary(self, asked: type[Message], serve: Callable[..., Any]) -> object:
        return asked, serve


class Service:
    def __init__(self, make: Callable[..., Any], *over: object) -> None:
        """`make` builds the service over a border and `over`."""
        self.handler = make(Methods(), *over)

    def method(self, name: str) -> tuple[type[Message], Callable[..., Any]]:
        path = f"/{self.handler.service_name()}/{name}"
        found: tuple[type[Message], Callable[..., Any]] = self.handler.service(SimpleNamespace(method=path))
        return found

    async def ask(self, request: Message, who: Principal = BOSS) -> Any:
        asked, serve = self.method(request.DESCRIPTOR.name.removesuffix("Request"))
        assert isinstance(request, asked)
        return await serve(request, SimpleNamespace(principal=who))

    async def refusal(self, request: Message, who: Principal = BOSS) -> tuple[Fault, str | None]:
        try:
            reply = await self.ask(request, who)
        except RouterError as exc:
            return exc.refusal.fault, exc.refusal.param
        raise AssertionError(f"nobody refused it: {reply}")
