"""Tell callers on this machine from callers elsewhere."""

from functools import lru_cache
from ipaddress import ip_address

from router.facades.http.asgi import Scope


def is_local(scope: Scope) -> bool:
    """Tell whether the peer is on this machine. A Unix socket has no address and is."""
    client = scope.get("client")
    return client is None or _is_loopback(client[0])


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
