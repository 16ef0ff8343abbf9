"""The ASGI types, as far as we use them."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]  # type: ignore[explicit-any] # ASGI leaves the values open
Message = MutableMapping[str, Any]  # type: ignore[explicit-any] # as above
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
