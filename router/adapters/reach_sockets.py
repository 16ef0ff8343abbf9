"""Look how far one gets to a provider: its addresses, a connection, its certificate. Nothing is sent over it."""

import asyncio
import os
import socket
import ssl
from typing import Final
from urllib.parse import urlsplit

from router.adapters.transport.addresses import AddressRefused, admit
from router.domain.catalog import Provider
from router.domain.diagnosis import Certificate, Reach
from router.domain.instants import NS_PER_S, format_duration

LOOK_UP_NS_MAX: Final = 10 * NS_PER_S
"""For a host's addresses."""


async def look_around(provider: Provider) -> Reach:
    """Find a provider's addresses, connect within its own timeout, and hang up."""
    url = urlsplit(provider.base_url)
    tls = url.scheme == "https"
    host, port = url.hostname or "", url.port or (443 if tls else 80)
    try:
        async with asyncio.timeout(LOOK_UP_NS_MAX / NS_PER_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:  # UnicodeError: a host name that DNS cannot express
        return Reach(tls=tls, trouble=f"{host} has no address ({_reason(exc)})")
    except TimeoutError:
        return Reach(tls=tls, trouble=f"{host} was not looked up within {format_duration(LOOK_UP_NS_MAX)}")
    addresses = tuple(dict.fromkeys(str(where[0]) for *_, where in found))
    try:
        admitted = admit(host, addresses, allow_private=provider.network.allow_private)
        certificate = await _shake_hands(provider, host, admitted[0], port, tls=tls)
    except AddressRefused as exc:
        return Reach(addresses=addresses, tls=tls, trouble=f"{host} {exc}")
    except TimeoutError:
        words = f"no connection within {format_duration(provider.timeouts.connect_ns)}"
        return Reach(addresses=addresses, tls=tls, trouble=words)
    except ssl.SSLCertVerificationError as exc:
        return Reach(addresses=addresses, tls=tls, trouble=f"certificate not accepted: {exc.verify_message}")
    except OSError as exc:
        return Reach(addresses=addresses, tls=tls, trouble=f"port {port} does not connect ({_reason(exc)})")
    return Reach(addresses=addresses, tls=tls, certificate=certificate)


async def _shake_hands(provider: Provider, host: str, address: str, port: int, *, tls: bool) -> Certificate | None:
    """Connect as calls do, to an address that was judged."""
    context = ssl.create_default_context(cafile=provider.network.ca_file) if tls else None
    async with asyncio.timeout(provider.timeouts.connect_ns / NS_PER_S):
        _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host if tls else None)
    shown = writer.get_extra_info("peercert")
    writer.transport.abort()
    if not shown:
        return None
    return Certificate(
        subject=_name(shown["subject"], "commonName", "organizationName") or host,
        issuer=_name(shown["issuer"], "organizationName", "commonName") or "an authority without a name",
        ends_ns=int(ssl.cert_time_to_seconds(shown["notAfter"])) * NS_PER_S,
    )


def _name(parts: tuple[tuple[tuple[str, str], ...], ...], *wanted: str) -> str | None:
    """Return the first of the wanted names that a certificate gives."""
    named = {key: value for part in parts for key, value in part}
    return next((named[key] for key in wanted if key in named), None)


def _reason(exc: OSError | UnicodeError) -> str:
    number = getattr(exc, "errno", None)
    if isinstance(number, int) and number > 0:
        return os.strerror(number)  # asyncio's own words repeat the address
    return str(getattr(exc, "strerror", None) or exc)[:200] or type(exc).__name__
