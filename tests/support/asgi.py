"""Call an ASGI application without a server: the way that any other server than ours would."""

import asyncio
import json
from typing import Any

from router.facades.http.asgi import App, Message, Scope


class Exchange:
    """One request and what the application answers. `hang_up` is the caller's going away."""

    def __init__(
        self,
        path: str = "/v1/chat/completions",
        *parts: bytes,
        method: str = "POST",
        query: str = "",
        headers: dict[str, str] | None = None,
        client: tuple[str, int] | None = ("127.0.0.1", 1),
    ) -> None:
        fields = {"content-type": "application/json"} | (headers or {})
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": client,
            "server": ("127.0.0.1", 80),
        }
        last = len(parts) - 1
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        for at, part in enumerate(parts or (b"",)):
            self._incoming.put_nowait({"type": "http.request", "body": part, "more_body": at < last})
        self.sent: list[Message] = []

    def hang_up(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Message:
        return await self._incoming.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def through(self, app: App) -> "Exchange":
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join([message["body"] for message in self.sent[1:]])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, object]:
        error: dict[str, object] = json.loads(self.body)["error"]
        return error
