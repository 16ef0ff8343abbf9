"""Decide what serves when nothing is configured: a scripted model, and keys that are safe where we listen."""

from ipaddress import ip_address
from typing import Final

from router.config.tree import Node, Origin, Plain, child, follow, grow, text_of

_DEFAULT_HOST: Final = "127.0.0.1"

_PROVIDER: Final[Plain] = {
    "name": "demo",
    "kind": "scripted",
    "script": {"first_token": "50ms", "tokens_per_s": 100},
}
_MODEL: Final[Plain] = {
    "name": "demo",
    "deployments": [
        {
            "provider": "demo",
            "model": "demo",
            "price": {"input": "2.00", "cached_input": "0.20", "output": "10.00"},
            "context_window": 128_000,
            "max_output_tokens": 16_384,
            "capabilities": ["tools", "json_schema"],
        }
    ],
}
_LOCAL_KEYS: Final[Plain] = [
    {"name": "local", "key": "sk-local"},
    {"name": "local-admin", "key": "sk-admin-local", "permissions": ["admin"]},
]


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def first_layer(upper: Node, *, container: bool, admin_key: str) -> tuple[Node, tuple[str, ...]]:
    """Return the layer below `upper` (environment and command line), and what to print loudly about it.

    It gives no providers, models or keys to somebody who configures their own by variables. The keys that
    everybody knows exist on loopback only; elsewhere `admin_key`, which nobody can guess, is the only one.
    """
    host = text_of(follow(upper, ("server", "http", "host"))[1]) or _DEFAULT_HOST
    sections: dict[str, Plain] = {}
    said = ["No configuration file was found: run `checkrein init` to write one."]
    if child(upper, "providers") is None and child(upper, "models") is None:
        sections |= {"providers": [_PROVIDER], "models": [_MODEL]}
        said.append("Serving the scripted model `demo`: no provider is asked, its prices are made up.")
    if child(upper, "keys") is None:
        if is_loopback(host) and not container:
            sections["keys"] = _LOCAL_KEYS
            said.append("Keys for this machine only: sk-local (calls) and sk-admin-local (administration).")
        else:
            sections["keys"] = [{"name": "first-admin", "key": admin_key, "permissions": ["admin"]}]
            said.append(f"Made for this start, shown only now: {admin_key} (a key for calls and administration).")
    return grow(sections, Origin(source="defaults")), tuple(said)
