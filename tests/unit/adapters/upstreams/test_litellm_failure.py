"""What a failed call through litellm is called, by what the wire said and what litellm raised."""

import pytest

from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.litellm_exchange import Exchange, Origins, WireFailed
from router.adapters.upstreams.litellm_failure import failure_of, refused
from router.adapters.upstreams.litellm_request import Unsupported
from router.domain.dispatch.failure import Failure, FailureKind, verdict_of
from router.domain.faults import Fault
from router.domain.stream import ReplyMode

ERRORS = ErrorReader("fake", ["sk-secret-0123456789"])


class ProviderError(Exception):
    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message


class Wire(Exchange):
    """What an exchange came to."""

    def __init__(self, status: int = 0, refusal: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(Origins(pytest.fail), {})
        self.said = status, headers
        self.refusal = refusal
        self.sent = bool(status)

    @property
    def status(self) -> int:
        return self.said[0]

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        return self.said[1]


def failure(exc: Exception, wire: Exchange, mode: ReplyMode = ReplyMode.STREAM) -> Failure:
    return failure_of(exc, wire, ERRORS, mode=mode, wall_ns=0)


def wrapped(inner: Exception) -> Exception:
    outer = RuntimeError("litellm.MidStreamFallbackError: canary")
    outer.__cause__ = inner
    return outer


def test_the_wires_own_refusal_counts_before_litellms_words() -> None:
    wire = Wire(429, b'{"error":{"message":"slow sk-secret-0123456789","code":"slow_down"}}', ((b"retry-after", b"2"),))
    found = failure(ProviderError(400, "canary"), wire)

    assert (FailureKind.STATUS, 429, "slow [redacted]", "slow_down", 2_000) == (
        found.kind,
        found.status,
        found.message,
        found.code,
        found.retry_after_ms,
    )


def test_a_broken_connection_is_named_as_the_transport_did() -> None:
    wire = Wire(200)
    wire.failure = FailureKind.CUT, "closed the connection"
    assert (FailureKind.CUT, "fake closed the connection") == said(failure(WireFailed("x"), wire))


def said(found: Failure) -> tuple[FailureKind, str]:
    return found.kind, found.message


def test_an_error_inside_a_stream_has_the_status_and_the_words_of_its_first_cause() -> None:
    found = failure(wrapped(ProviderError(503, "UNAVAILABLE - overloaded")), Wire(200))

    assert (FailureKind.ERROR_EVENT, 503, "UNAVAILABLE - overloaded") == (found.kind, found.status, found.message)


def test_an_error_event_that_openais_library_read_has_its_members() -> None:
    inner = RuntimeError("canary")
    inner.body = {"message": "slow down", "code": "rate_limit_exceeded"}  # type: ignore[attr-defined]
    found = failure(wrapped(inner), Wire(200))

    assert (FailureKind.ERROR_EVENT, "slow down", "rate_limit_exceeded") == (found.kind, found.message, found.code)


def test_words_with_half_a_character_are_read_too() -> None:
    inner = RuntimeError("canary")
    inner.body = {"message": "slow \ud83d", "code": "rate_limit_exceeded"}  # type: ignore[attr-defined]

    assert FailureKind.MALFORMED is failure(wrapped(inner), Wire(200)).kind
    assert (FailureKind.ERROR_EVENT, "slow ?") == said(failure(wrapped(ProviderError(503, "slow \ud83d")), Wire(200)))


def test_litellms_own_exceptions_are_not_quoted() -> None:
    kind = type("APIConnectionError", (ProviderError,), {"__module__": "litellm.exceptions"})
    found = failure(wrapped(kind(500, "Received chunk: canary")), Wire(200))

    assert FailureKind.MALFORMED is found.kind
    assert "canary" not in found.message


def test_a_body_that_litellm_cannot_read_is_malformed_and_not_quoted() -> None:
    for mode, exc in ((ReplyMode.UNARY, ProviderError(422, "canary")), (ReplyMode.STREAM, KeyError("canary"))):
        found = failure(wrapped(exc), Wire(200), mode)
        assert FailureKind.MALFORMED is found.kind
        assert "canary" not in found.message


def test_what_was_sent_and_not_answered_may_have_been_billed() -> None:
    wire = Wire()
    wire.sent = True
    assert FailureKind.RESET is failure(TimeoutError(), wire).kind


def test_what_litellm_could_not_send_is_the_callers_and_counts_against_nobody() -> None:
    found = failure(wrapped(TypeError("canary")), Wire())
    verdict = verdict_of(found)

    assert (FailureKind.STATUS, 400) == (found.kind, found.status)
    assert "fake cannot be asked this: litellm does not put the request into its form (TypeError)" == found.message
    assert (Fault.UPSTREAM_REJECTED, False) == (verdict.fault, verdict.counts)


def test_a_member_that_litellm_refuses_itself_is_named() -> None:
    kind = type("UnsupportedParamsError", (ProviderError,), {})
    found = failure(kind(400, "x does not support parameters: ['seed'], for model=m"), Wire())

    assert ("unsupported_parameter", "seed") == (found.code, found.param)


@pytest.mark.parametrize("exc", [type("NoCredentialsError", (Exception,), {})(), ProviderError(401, "no key")])
def test_credentials_that_are_missing_are_the_operators(exc: Exception) -> None:
    assert Fault.UPSTREAM_CREDENTIALS is verdict_of(failure(wrapped(exc), Wire())).fault


def test_a_package_that_is_missing_is_named_and_nothing_was_sent() -> None:
    found = failure(wrapped(ImportError("No module named 'google'", name="google.auth")), Wire())

    assert (FailureKind.CONNECT, "fake cannot be asked: the Python package google.auth is missing") == said(found)


def test_a_chain_of_causes_without_end_is_left() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first

    assert 400 == failure(first, Wire()).status


def test_what_the_caller_can_mend_names_the_member() -> None:
    found = refused(Unsupported("Remove it.", "tools[1].type"))

    assert (400, "unsupported_parameter", "tools[1].type") == (found.status, found.code, found.param)
