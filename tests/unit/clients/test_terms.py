"""A client's key goes in the open only to this machine or where that was asked for."""

import math

import pytest
from checkrein import CallContext, Tls
from checkrein.errors import Timeout
from checkrein.terms import Terms, is_local, texts_of

from tests.support.grpc_router import BEGUN, said, said_json

CANARY = "sk-canary 0123456789"


def terms(
    target: str = "127.0.0.1:1",
    *,
    api_key: str | None = None,
    tls: Tls | bool | None = None,
    timeout: float | None = None,
    context: CallContext | None = None,
    options: tuple[tuple[str, int | str], ...] = (),
) -> Terms:
    return Terms(target, api_key=api_key, tls=tls, timeout=timeout, context=context, options=options)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:50051",
        "localhost",
        "127.0.0.1:50051",
        "127.9.9.9",
        "[::1]:50051",
        "dns:localhost:50051",
        "dns:///localhost:50051",
        "ipv4:127.0.0.1:50051",
        "ipv6:[::1]:50051",
        "unix:router.sock",
        "unix:///run/router.sock",
        "unix-abstract:router",
    ],
)
def test_what_is_surely_here_is_spoken_to_in_the_open(target: str) -> None:
    assert is_local(target)
    assert terms(target).credentials is None
    assert terms(target, tls=True).credentials is not None
    assert terms(target, tls=Tls()).credentials is not None
    assert ("grpc.enable_http_proxy", 0) in terms(target).options


@pytest.mark.parametrize(
    "target",
    [
        "router.example:50051",
        "10.0.0.1:50051",
        "[2001:db8::1]:50051",
        "localhost.example:50051",
        "127.0.0.1.example:50051",
        "ipv4:127.0.0.1:1,10.0.0.1:1",
        "ipv4:10.0.0.1:1,127.0.0.1:1",
        "dns://10.0.0.53/localhost:50051",
        "xds:///localhost",
        "",
    ],
)
def test_what_may_be_elsewhere_is_spoken_to_in_tls_unless_plaintext_is_asked_for(target: str) -> None:
    assert not is_local(target)
    assert terms(target).credentials is not None
    assert terms(target, tls=False).credentials is None
    assert ("grpc.enable_http_proxy", 0) not in terms(target).options


@pytest.mark.parametrize("target", ["http://router.example:50051", "https://router.example"])
def test_an_address_of_http_is_refused_with_what_is_meant(target: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        terms(target)


@pytest.mark.parametrize("key", [CANARY, CANARY.replace(" ", "\n"), CANARY.replace(" ", "ä"), ""])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as raised:
        terms(api_key=key)

    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("of_client", "of_call", "seconds"),
    [(None, None, None), (60, None, 60), (60, 5, 5), (None, 5, 5), (60, math.inf, None), (math.inf, None, None)],
)
def test_the_calls_deadline_wins(of_client: float | None, of_call: float | None, seconds: float | None) -> None:
    assert seconds == terms(timeout=of_client).deadline({"timeout": of_call})
    if of_call is None:
        assert seconds == terms(timeout=of_client).deadline({})


@pytest.mark.parametrize("timeout", [0, -0.5, -math.inf])
def test_a_call_that_has_no_time_left_is_not_sent(timeout: float) -> None:
    with pytest.raises(Timeout, match="had passed"):
        terms(timeout=60).deadline({"timeout": timeout})


def test_a_calls_context_is_put_over_the_clients_and_changes_neither() -> None:
    ours, theirs = CallContext(agent="a", user="u", tags=["x"]), CallContext(agent="b", tags=["y"])

    assert CallContext(agent="b", user="u", tags=["x", "y"]) == terms(context=ours).context_of({"context": theirs})
    assert CallContext(agent="a", user="u", tags=["x"]) == ours == terms(context=ours).context_of({})
    assert CallContext(agent="b", tags=["y"]) == theirs == terms().context_of({"context": theirs})
    assert terms().context_of({}) is None


def test_long_streams_and_large_messages_are_provided_for() -> None:
    options = dict(terms(options=(("grpc.keepalive_time_ms", 60_000),)).options)

    assert 32 << 20 == options["grpc.max_receive_message_length"] == options["grpc.max_send_message_length"]
    assert 0 == options["grpc.http2.max_pings_without_data"]
    assert 60_000 == options["grpc.keepalive_time_ms"]  # the caller's, which comes last
    assert 30_000 == dict(terms().options)["grpc.keepalive_time_ms"]


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (b'{"choices":[{"index":0,"delta":{"content":"a"}}]}', ["a"]),
        (b'{"choices":[{"delta":{"content":"a"}},{"index":1,"delta":{"content":"b"}}]}', ["a"]),
        (b'{"choices":[{"index":1,"delta":{"content":"b"}}]}', []),
        (b'{"choices":[{"index":0,"delta":{"content":""}}]}', []),
        (b'{"choices":[{"index":0,"delta":{"content":null}}]}', []),
        (b'{"choices":[],"usage":{}}', []),
        (b'{"choices":null}', []),
        (b"[]", []),
        (b"not JSON", []),
        (b"\xff", []),
    ],
)
def test_a_providers_odd_event_is_nobodys_text(event: bytes, texts: list[str]) -> None:
    assert [*texts, "z"] == list(texts_of(said_json(event, b'{"choices":[{"delta":{"content":"z"}}]}')))


def test_typed_text_is_that_of_the_first_choice() -> None:
    assert ["a", "b"] == list(texts_of(said("a", "", "b")))
    assert [] == [*texts_of(said("a", choice=1)), *texts_of(BEGUN)]
