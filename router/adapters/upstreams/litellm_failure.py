"""Read why a call through litellm failed: what the wire said counts before what litellm made of it."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.litellm_exchange import Exchange
from router.adapters.upstreams.litellm_request import Unsupported
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.stream import ReplyMode

_CHAIN_MAX: Final = 16
_WORDS_MAX: Final = 200
"""Bytes of words that are not JSON: what `ErrorReader` takes for a sentence."""
_INVALID: Final = "invalid_request_error"
_QUOTED: Final = re.compile(r"'([a-z_]{1,64})'")
_UNSUPPORTED: Final = "unsupported_parameter"
_CREDENTIAL_TYPES: Final = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "RefreshError")
"""What AWS's and Google's own libraries raise before a request is sent."""


def refused(exc: Unsupported) -> Failure:
    """Say what the caller can mend: nothing was sent."""
    return Failure(
        kind=FailureKind.STATUS, status=400, message=str(exc), code=_UNSUPPORTED, type=_INVALID, param=exc.param
    )


def failure_of(exc: Exception, exchange: Exchange, errors: ErrorReader, *, mode: ReplyMode, wall_ns: int) -> Failure:
    """Name what ended a call. The text of an exception is used only where it is the provider's own."""
    status = exchange.status
    if status and not 200 <= status < 300:
        return errors.from_status(status, exchange.headers, exchange.refusal, wall_ns)
    if exchange.failure is not None:
        return errors.own(*exchange.failure)
    if status:
        return _in_reply(exc, errors, mode, wall_ns)
    if exchange.sent:
        return errors.own(FailureKind.RESET, "lost its connection before it answered")
    return _before(exc, errors, wall_ns)


def _in_reply(exc: Exception, errors: ErrorReader, mode: ReplyMode, wall_ns: int) -> Failure:
    """Read an error inside a good reply: an event of a stream, or a body that litellm cannot read."""
    said = _provider_said(exc) if mode is ReplyMode.STREAM else None
    if said is None:
        return errors.own(FailureKind.MALFORMED, f"answered what litellm cannot read ({type(exc).__name__})")
    status, words = said
    failure = errors.from_status(status, (), words.encode()[:_WORDS_MAX], wall_ns)
    return msgspec.structs.replace(failure, kind=FailureKind.ERROR_EVENT)


def _before(exc: Exception, errors: ErrorReader, wall_ns: int) -> Failure:
    """Nothing was sent: the request cannot be put into the provider's form, or something is missing here."""
    chain = list(_chain(exc))
    names = [type(one).__name__ for one in chain]
    if any(isinstance(one, ImportError) for one in chain):
        missing = next(one.name for one in chain if isinstance(one, ImportError))
        return errors.own(FailureKind.CONNECT, f"cannot be asked: the Python package {missing or 'for it'} is missing")
    if "UnsupportedParamsError" in names and (param := _QUOTED.search(str(exc))):
        return refused(Unsupported(f"`{param[1]}` cannot be expressed for this model. Leave it out.", param[1]))
    said = _provider_said(exc)
    if any(name in _CREDENTIAL_TYPES for name in names) or (said is not None and said[0] == 401):
        return errors.from_status(401, (), b"", wall_ns)
    words = f"cannot be asked this: litellm does not put the request into its form ({names[-1]})"
    return msgspec.structs.replace(errors.own(FailureKind.STATUS, words), status=400, type=_INVALID)


def _provider_said(exc: Exception) -> tuple[int, str] | None:
    """Find the first exception that was raised, with a status: its message is the provider's, before any wrapping."""
    said = None
    for one in _chain(exc):
        status, words = getattr(one, "status_code", None), getattr(one, "message", None)
        if isinstance(status, int) and 400 <= status <= 599 and isinstance(words, str):
            said = status, words
    return said


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_CHAIN_MAX):
        if exc is None:
            return
        yield exc
        exc = exc.__cause__ or exc.__context__
