"""Read what a request's body says about where it may go, in the words of other gateways; none of it is sent on."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from router.domain.catalog import Snapshot
from router.domain.faults import Fault, Refusal
from router.domain.ids import ModelName

FALLBACKS_MAX: Final = 8
"""Models that one request may name."""
FIELDS: Final = ("fallbacks", "models", "disable_fallbacks", "drop_params")
_OURS: Final = ("fallbacks", "disable_fallbacks", "drop_params")


class Directives(msgspec.Struct, frozen=True, kw_only=True):
    fallbacks: tuple[ModelName, ...] | None = None
    """Models to try, instead of those that the operator wrote down; None: the caller says nothing."""
    disabled: bool = False
    """No other model may answer."""
    drop_params: bool = False
    """What the provider's dialect cannot say is left out, not refused."""
    consumed: tuple[str, ...] = ()
    """Members of the body that are not sent on."""


NO_DIRECTIVES: Final = Directives()


class _Named(msgspec.Struct):
    model: str


_names: Final = msgspec.json.Decoder(list[str | _Named] | None)
_flag: Final = msgspec.json.Decoder(bool | None)
_ABSENT: Final = Raw(b"null")


def read_directives(fields: Mapping[str, Raw], asked: str, snapshot: Snapshot) -> Directives | Refusal:
    """Read `fallbacks` (litellm's, Bifrost's), `models` (OpenRouter's), `disable_fallbacks` and `drop_params`.

    `models` whose names are not all ours mean something to the provider, and go to it as they came.
    """
    try:
        disabled = _flag.decode(fields.get("disable_fallbacks", _ABSENT)) or False
    except msgspec.DecodeError:
        return _invalid("disable_fallbacks", "must be true, false or null")
    try:
        drops = _flag.decode(fields.get("drop_params", _ABSENT)) or False
    except msgspec.DecodeError:
        return _invalid("drop_params", "must be true, false or null")
    if "fallbacks" in fields:
        try:
            names = _names_of(fields["fallbacks"])
        except msgspec.DecodeError:
            return _invalid("fallbacks", "must be a list of models, as names or as objects with `model`")
        unknown = [name for name in names or () if snapshot.find_model(name) is None]
        if unknown:
            return Refusal(
                fault=Fault.MODEL_NOT_FOUND,
                message=f"The fallback {unknown[0]!r} does not exist here. See GET /v1/models.",
                param="fallbacks",
            )
        if len(names or ()) > FALLBACKS_MAX:
            return _invalid("fallbacks", f"names more than {FALLBACKS_MAX} models")
        fallbacks = _others(names, asked)
        return Directives(fallbacks=fallbacks, disabled=disabled, drop_params=drops, consumed=_OURS)
    try:
        names = _names_of(fields.get("models", _ABSENT))
    except msgspec.DecodeError:
        names = None
    if not names or len(names) > FALLBACKS_MAX or any(snapshot.find_model(name) is None for name in names):
        return Directives(disabled=disabled, drop_params=drops, consumed=_OURS)
    fallbacks = _others(names, asked)
    return Directives(fallbacks=fallbacks, disabled=disabled, drop_params=drops, consumed=(*_OURS, "models"))


def _names_of(raw: Raw) -> list[str] | None:
    """Raises `msgspec.DecodeError`."""
    named = _names.decode(raw)
    return None if named is None else [one if isinstance(one, str) else one.model for one in named]


def _others(names: list[str] | None, asked: str) -> tuple[ModelName, ...] | None:
    return None if names is None else tuple(dict.fromkeys(ModelName(name) for name in names if name != asked))


def _invalid(name: str, rule: str) -> Refusal:
    return Refusal(fault=Fault.INVALID_REQUEST, message=f"`{name}` {rule}.", param=name)
