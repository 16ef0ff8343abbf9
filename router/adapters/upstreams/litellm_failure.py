"""Read why a call through litellm failed: what the wire said counts before what litellm made of it."""

import re
from collections.abc import Iterator
from contextlib import suppress
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
_WRAPPERS: Final = "litellm.exceptions"
_STATUS: Final = "status_code"
_INVALID: Final = "invalid_request_error"
_QUOTED: Final = re.compile(r"'([a-z_]{1,64})'")
_encode: Final = msgspec.json.Encoder().encode
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
    chain = [*_chain(exc)] if mode is ReplyMode.STREAM else []
    bodies = [body for one in chain if isinstance(body := getattr(one, "body", None), dict)]
    for body in bodies:  # what OpenAI's library, which litellm uses for a few, makes of an error event
        with suppress(UnicodeEncodeError):  # half a character, which JSON can say and UTF-8 cannot
            failure = errors.from_success(_encode({"error": body}))
            if failure is not None:
                return failure
    said = [own for one in chain if (own := _provider_said(one)) is not None]
    if not said:
        return errors.own(FailureKind.MALFORMED, f"answered what litellm cannot read ({type(exc).__name__})")
    status, words = said[-1]  # the first that was raised, before any wrapping
    failure = errors.from_status(status, (), words.encode("utf-8", "replace")[:_WORDS_MAX], wall_ns)
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
    if any(name in _CREDENTIAL_TYPES for name in names) or any(getattr(one, _STATUS, None) == 401 for one in chain):
        return errors.from_status(401, (), b"", wall_ns)
    words = f"cannot be asked this: litellm does not put the request into its form ({names[-1]})"
    return msgspec.structs.replace(errors.own(FailureKind.STATUS, words), status=400, type=_INVALID)


def _provider_said(exc: BaseException) -> tuple[int, str] | None:
    """Return the status and the words of a provider. litellm's own exceptions quote what they could not read."""
    status, words = getattr(exc, _STATUS, None), getattr(exc, "message", None)
    if type(exc).__module__.startswith(_WRAPPERS) or not (isinstance(status, int) and isinstance(words, str)):
        return None
    return (status, words) if 400 <= status <= 599 else None


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    for _ in range(_CHAIN_MAX):
        if exc is None:
            return
        yield exc
        exc = exc.__cause__ or exc.__context__
