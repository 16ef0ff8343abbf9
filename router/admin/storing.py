"""Read what an administrator sends to be stored, and say in the one shape of errors why it cannot be."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from router.domain.faults import Fault, RouterError, refuse
from router.domain.principal import Permission, Principal
from router.ports.keys import KEYS_MAX, KeyChanged, KeyExists, KeysUnavailable, StoreFull
from router.ports.records import RECORDS_MAX, RecordChanged, RecordExists

BODY_BYTES_MAX: Final = 64 * 1024
"""Of settings, or a patch of them."""


def require_admin(caller: Principal, what: str) -> None:
    """Refuse who may not administer `what`, before more is read of the request."""
    if Permission.ADMIN not in caller.permissions:
        message = f"This key may not administer {what}. Use one with the permission `admin`."
        raise refuse(Fault.PERMISSION_DENIED, message)


@contextmanager
def told(noun: str, name: str = "") -> Iterator[None]:
    """Turn what a store raises into the refusal that a caller sees. `name`: of what is written."""
    try:
        yield
    except KeysUnavailable as exc:
        raise refuse(Fault.OVERLOADED, f"The store of the {noun}s cannot be used now. Try again shortly.") from exc
    except KeyExists:
        message = f"There is a key {name!r} already, or there was: a name is used once. Use another one."
        raise conflict(message, param="name") from None
    except RecordExists:
        raise conflict(f"There is a {noun} {name!r} already. Change it, or use another name.", param="name") from None
    except (KeyChanged, RecordChanged):
        message = f"The {noun} {name!r} was changed meanwhile. Look at it and send the change again."
        raise conflict(message) from None
    except StoreFull:
        held = f"{KEYS_MAX} keys, revoked ones included" if noun == "key" else f"{RECORDS_MAX} tenants and budgets"
        raise conflict(f"The store holds {held}: no more fit.") from None


def conflict(message: str, *, param: str | None = None) -> RouterError:
    """Refuse what is well said and does not fit what there is."""
    return refuse(Fault.CONFLICT, message, param=param)


def members_of(body: bytes) -> dict[str, object]:
    """Read the body of a change."""
    if len(body) > BODY_BYTES_MAX:
        raise refuse(Fault.REQUEST_TOO_LARGE, f"The settings are larger than {BODY_BYTES_MAX} bytes, the limit.")
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise refuse(Fault.INVALID_REQUEST, "The body is not a JSON object.") from None


def encode(settings: object) -> str:
    return msgspec.json.encode(settings).decode()


def decoded(settings_json: str) -> object:
    """Read what is stored; None where somebody broke it."""
    try:
        return msgspec.json.decode(settings_json)
    except msgspec.DecodeError:
        return None
