"""Ask a provider beside inference: for what it stores, or how many tokens it counts. Such calls are rare and whole."""

from enum import StrEnum
from typing import Protocol

import msgspec

from router.domain.dialects.dialect import Dialect
from router.domain.ids import ProviderId


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    DELETE = "DELETE"


class AsideRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked below the route of a dialect."""

    credential: str
    """The name of the one to ask with."""
    dialect: Dialect
    """One that the provider speaks."""
    below: tuple[str, ...]
    """What follows the dialect's path, piece by piece, as text: `("resp_1", "cancel")`."""
    method: Method = Method.POST
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Of the caller's, already chosen. Lower case names."""
    total_ns: int
    """For all of it; the provider's own limit may be tighter."""


class Aside(Protocol):
    """One provider that can be asked so."""

    async def ask(self, request: AsideRequest) -> bytes:
        """Return the JSON object that it answers with, byte for byte. Raises `UpstreamFailed` (`ports/upstream.py`).

        What it says of a reply that failed is no failure of this request. A cancelled `ask` closes the connection.
        """
        ...


class Asides(Protocol):
    """All providers that can be asked so."""

    def find_aside(self, provider: ProviderId) -> Aside | None:
        """None: there is no such provider now, or it cannot be asked so."""
        ...
