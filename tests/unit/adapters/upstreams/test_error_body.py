"""Provider errors in every usual shape, and what must never be in them."""

import json

import pytest

from router.adapters.upstreams.error_body import ErrorReader, redact
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.governance.upstream_limits import SPAN_NS_MAX
from router.domain.instants import NS_PER_MS

NOW_NS = 1_767_225_600_000_000_000  # Thu, 01 Jan 2026 00:00:00 GMT
READER = ErrorReader("fake", ["sk-proj-0123456789"])


def refused(body: bytes, status: int = 400) -> Failure:
    return READER.from_status(status, (), body, NOW_NS)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"no"}}', "no"),
        (b'{"error":"no"}', "no"),
        (b'{"message":"no"}', "no"),
        (b'{"detail":"no"}', "no"),
        (b'{"detail":[{"msg":"no"}]}', '[{"msg":"no"}]'),
        (b' [{"error":{"message":"no"}}]', "no"),
        (b'{"error":{"message":{"a":1}}}', '{"a":1}'),
        (b"Bad Gateway\n", "Bad Gateway"),
        (b"", "fake answered with status 400"),
        (b"<html>no</html>", "fake answered with status 400"),
        (b"{}", "fake answered with status 400"),
        (b"[]", "fake answered with status 400"),
        (b'{"error":null}', "fake answered with status 400"),
        (b'{"error":{"message":""}}', "fake answered with status 400"),
        (b"x" * 201, "fake answered with status 400"),
        (b"[" * 100_000, "fake answered with status 400"),
    ],
)
def test_a_message_is_found_in_every_usual_shape(body: bytes, message: str) -> None:
    assert message == refused(body).message


def test_members_beside_the_message_are_kept_as_text() -> None:
    said = {"message": "m", "type": "t", "param": "p", "code": 42}

    failure = refused(json.dumps({"error": said}).encode(), 429)

    assert Failure(kind=FailureKind.STATUS, message="m", status=429, type="t", param="p", code="42") == failure


def test_googles_status_serves_as_type() -> None:
    assert "RESOURCE_EXHAUSTED" == refused(b'{"error":{"message":"m","status":"RESOURCE_EXHAUSTED"}}').type


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"code": 400, "details": [{"@type": "Help"}, {"reason": "API_KEY_INVALID"}]}, "API_KEY_INVALID"),
        ({"details": {"error_code": "enforced_spend_limit_reached"}}, "enforced_spend_limit_reached"),
        ({"innererror": {"code": "ResponsibleAIPolicyViolation"}}, "ResponsibleAIPolicyViolation"),
        ({"code": "own", "details": [{"reason": "other"}]}, "own"),
        ({"code": 400, "details": "text"}, "400"),
        ({"code": 400, "details": [1]}, "400"),
        ({"details": None}, None),
        ({"details": [{"reason": "a sk-proj-0123456789 b"}]}, "a [redacted] b"),
    ],
)
def test_a_code_is_found_where_a_provider_keeps_it(said: dict[str, object], code: str | None) -> None:
    assert code == refused(json.dumps({"error": {"message": "m", **said}}).encode()).code


def test_a_body_without_an_error_member_keeps_its_type_and_code() -> None:
    failure = refused(b'{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}')

    assert ("m", "BadRequestError", "400", None) == (failure.message, failure.type, failure.code, failure.param)


def test_amazons_type_is_in_a_header() -> None:
    headers = [(b"x-amzn-errortype", b"ThrottlingException:http://internal.amazon.com/coral/")]

    assert "ThrottlingException" == READER.from_status(429, headers, b'{"message":"m"}', NOW_NS).type
    assert "own" == READER.from_status(429, headers, b'{"error":{"type":"own"}}', NOW_NS).type


@pytest.mark.parametrize(
    ("delay", "expected_ms"),
    [
        ("28.5s", 28_500),
        ("0s", 0),
        ("28", None),
        ("s", None),
        ("NaNs", None),
        ("1e300s", None),
        ("99999999s", SPAN_NS_MAX // NS_PER_MS),
        (7, None),
    ],
)
def test_googles_delay_serves_where_no_header_tells_one(delay: object, expected_ms: int | None) -> None:
    body = json.dumps({"error": {"code": 429, "details": [{"reason": "x"}, {"retryDelay": delay}]}}).encode()

    assert expected_ms == refused(body, 429).retry_after_ms
    assert 2_000 == READER.from_status(429, [(b"retry-after", b"2")], body, NOW_NS).retry_after_ms


@pytest.mark.parametrize("body", [b'{"id":1}', b'{"id":1,"error":null}', b'{"message":"hello"}', b"not json", b""])
def test_a_good_reply_hides_no_error(body: bytes) -> None:
    assert READER.from_success(body) is None


def test_an_error_behind_a_success_says_its_status_in_its_code() -> None:
    failure = READER.from_success(b'{"error":{"message":"m","code":429}}')

    assert Failure(kind=FailureKind.ERROR_EVENT, message="m", status=429, code="429") == failure


def test_long_messages_are_cut() -> None:
    assert "x" * 1_000 == refused(json.dumps({"message": "x" * 5_000}).encode()).message


@pytest.mark.parametrize("member", ["message", "type", "param", "code"])
def test_no_member_repeats_the_key(member: str) -> None:
    said = {"message": "m"} | {member: "a sk-proj-0123456789 b"}

    failure = refused(json.dumps({"error": said}).encode())

    assert "a [redacted] b" == getattr(failure, member)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key abcdefghijkl!", "key [redacted]!"),
        ("abcdefgh", "[redacted]"),
        ("abcdefg", "abcdefg"),
        ("xx fghijklm yy", "xx [redacted] yy"),
        ("efghijkl", "[redacted]"),
        ("abcdefghabcdefgh", "[redacted][redacted]"),
        ("", ""),
    ],
)
def test_runs_of_eight_characters_of_a_secret_are_hidden(text: str, clean: str) -> None:
    assert clean == redact(text, "abcdefghijklm")


def test_a_short_secret_is_hidden_as_a_whole() -> None:
    assert "[redacted] none pas" == redact("pass none pas", "pass")


@pytest.mark.parametrize(
    ("headers", "expected_ms"),
    [
        ([], None),
        ([(b"retry-after", b"2")], 2_000),
        ([(b"retry-after-ms", b"0.2"), (b"retry-after", b"9")], 1),
        ([(b"retry-after", b"Thu, 01 Jan 2026 00:00:30 GMT")], 30_000),
        ([(b"retry-after", b"soon")], None),
    ],
)
def test_a_refusal_keeps_when_to_come_back_rounded_up(
    headers: list[tuple[bytes, bytes]], expected_ms: int | None
) -> None:
    assert expected_ms == READER.from_status(429, headers, b"", NOW_NS).retry_after_ms


def test_our_own_words_name_the_provider() -> None:
    assert Failure(kind=FailureKind.RESET, message="fake went away") == READER.own(FailureKind.RESET, "went away")
