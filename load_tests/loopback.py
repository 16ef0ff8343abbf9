"""Refuse to put load on anything but this machine: a load aimed elsewhere by mistake is an attack."""

import ipaddress
from urllib.parse import urlsplit


def require_loopback(url: str) -> None:
    """Raise ValueError unless the URL names loopback by number or as `localhost`."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Any other name may resolve to anywhere, and to somewhere else the next time.
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"{url!r} is not on loopback: these loads run against a router on this machine only")
