"""What of a chat request is read, and that nothing else of it changes on the way."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.dialects.dialect import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.dialects.request import DESTINATION_FIELDS, Request, read_request, upstream_body
from router.domain.faults import Fault, Refusal
from router.domain.stream import ReplyMode


def read(text: str) -> Request:
    request = read_request(CHAT, text.encode())
    assert isinstance(request, Request), request
    return request


def refused(body: bytes) -> Refusal:
    refusal = read_request(CHAT, body)
    assert isinstance(refusal, Refusal)
    return refusal


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name not in {*DESTINATION_FIELDS, "stream", "stream_options"}),
    JSON,
    max_size=6,
)


@given(MEMBERS, st.booleans())
def test_everything_but_the_model_reaches_the_upstream_unchanged_and_in_order(
    members: dict[str, object], ascii_only: bool
) -> None:
    sent = {"model": "small", **members, "messages": [{"role": "user", "content": "hi"}]}
    sent["model"] = "small"
    received = upstream_body(read(json.dumps(sent, ensure_ascii=ascii_only)), "gpt-5")

    assert list(sent) == list(json.loads(received))
    assert {**sent, "model": "gpt-5"} == json.loads(received)


def test_the_bytes_of_every_member_are_the_callers_own() -> None:
    body = '{"model":"small", "messages":[ ],"seed":123456789012345678901234567890,"x":1.50e+1,"n":null,"s":"\\u00e9"}'

    assert (
        b'{"model":"gpt-5","messages":[ ],"seed":123456789012345678901234567890,"x":1.50e+1,"n":null,"s":"\\u00e9"}'
        == upstream_body(read(body), "gpt-5")
    )


def test_of_a_member_that_comes_twice_the_last_counts_and_only_it_is_sent() -> None:
    request = read('{"model":"a","messages":[],"model":"b","seed":1,"seed":2}')

    assert "b" == request.model
    assert b'{"model":"up","messages":[],"seed":2}' == upstream_body(request, "up")


def test_a_stream_is_always_asked_for_its_usage() -> None:
    body = upstream_body(read('{"model":"a","messages":[],"stream":true,"stream_options":{"x":[1]}}'), "up")

    assert {"x": [1], "include_usage": True} == json.loads(body)["stream_options"]


@pytest.mark.parametrize("options", ["null", "{}", '{"include_usage":false}'])
def test_usage_that_the_caller_did_not_ask_for_is_not_wanted(options: str) -> None:
    assert not read(f'{{"model":"a","messages":[],"stream":true,"stream_options":{options}}}').wants_usage


def test_who_says_nothing_of_usage_wants_it_only_where_the_dialect_always_tells() -> None:
    messages = read_request(MESSAGES, b'{"model":"a","max_tokens":1,"messages":[],"stream":true}')

    assert not read('{"model":"a","messages":[],"stream":true}').wants_usage
    assert isinstance(messages, Request)
    assert messages.wants_usage


def test_a_caller_who_asks_for_usage_gets_its_own_options_through_untouched() -> None:
    body = '{"model":"up","messages":[],"stream":true,"stream_options":{ "include_usage":true }}'
    request = read(body)

    assert request.wants_usage
    assert body.encode() == upstream_body(request, "up")


def test_a_unary_request_gets_no_stream_options() -> None:
    assert b"stream_options" not in upstream_body(read('{"model":"a","messages":[],"stream":false}'), "up")


@pytest.mark.parametrize(
    ("stream", "mode"), [("true", ReplyMode.STREAM), ("false", ReplyMode.UNARY), ("null", ReplyMode.UNARY)]
)
def test_stream_says_the_mode(stream: str, mode: ReplyMode) -> None:
    assert mode is read(f'{{"model":"a","messages":[],"stream":{stream}}}').mode


@pytest.mark.parametrize("name", DESTINATION_FIELDS)
def test_a_request_cannot_say_where_it_goes(name: str) -> None:
    refusal = refused(f'{{"model":"a","messages":[],"{name}":null}}'.encode())

    assert Fault.UNSUPPORTED_PARAMETER is refusal.fault
    assert name == refusal.param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'"x"', None),
        (b'{"model":"a","messages":[],"temperature":NaN}', None),
        (b'{"model":"a","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"model":"\xff","messages":[]}', None),
        (b'{"model":"a","messages":[],"\xff":1}', None),
        (b'{"model":"a","messages":["\xff"]}', None),
        (b'{"messages":[]}', "model"),
        (b'{"model":7,"messages":[]}', "model"),
        (b'{"model":"","messages":[]}', "model"),
        (b'{"model":"' + b"a" * 300 + b'","messages":[]}', "model"),
        (b'{"model":"a"}', "messages"),
        (b'{"model":"a","messages":null}', "messages"),
        (b'{"model":"a","messages":{}}', "messages"),
        (b'{"model":"a","messages":[],"stream":"yes"}', "stream"),
        (b'{"model":"a","messages":[],"stream":true,"stream_options":[]}', "stream_options"),
    ],
)
def test_what_is_not_a_chat_request_is_refused_naming_the_member(body: bytes, param: str | None) -> None:
    refusal = refused(body)

    assert (Fault.INVALID_REQUEST, param) == (refusal.fault, refusal.param)


def test_a_refusal_never_quotes_the_body() -> None:
    assert "canary" not in refused(b'{"model":"a","messages":[canary]}').message


@pytest.mark.parametrize(
    ("sent", "field", "received"),
    [
        ('"messages":[],"seed":1.0', "max_completion_tokens", '"messages":[],"seed":1.0,"max_completion_tokens":48'),
        ('"max_tokens":90 ,"messages":[]', "max_tokens", '"max_tokens":48,"messages":[]'),
        ('"max_tokens":90 ,"messages":[]', "max_completion_tokens", '"max_completion_tokens":48,"messages":[]'),
        ('"max_completion_tokens":null,"messages":[]', "max_tokens", '"max_tokens":48,"messages":[]'),
        (
            '"max_tokens":90,"messages":[ ],"max_completion_tokens":70',
            "max_completion_tokens",
            '"max_completion_tokens":48,"messages":[ ]',
        ),
        ('"max_tokens":90,"messages":[],"num_predict":70', "num_predict", '"num_predict":48,"messages":[]'),
        ('"messages":[],"num_predict":70,"x":0', "num_predict", '"messages":[],"num_predict":48,"x":0'),
    ],
)
def test_a_written_maximum_stands_once_and_where_the_callers_stood(sent: str, field: str, received: str) -> None:
    request = read(f'{{"model":"a",{sent}}}')

    assert f'{{"model":"up",{received}}}'.encode() == upstream_body(request, "up", (field, 48))
    assert f'{{"model":"up",{sent.replace(" ,", ",")}}}'.encode() == upstream_body(request, "up")


@given(MEMBERS, st.sampled_from(["max_tokens", "max_completion_tokens", "other"]))
def test_writing_a_maximum_changes_no_other_member(members: dict[str, object], field: str) -> None:
    sent = {"messages": [], **members, "model": "up"}
    sent["messages"] = []
    received = json.loads(upstream_body(read(json.dumps(sent)), "up", (field, 48)))
    limits = {"max_tokens", "max_completion_tokens", field}

    assert 48 == received[field]
    assert {**sent, field: 48}.items() >= received.items()
    assert [name for name in sent if name not in limits] == [name for name in received if name != field]


@pytest.mark.parametrize(
    ("grammar", "body"),
    [
        (COMPLETIONS, b'{"model":"m"}'),
        (COMPLETIONS, b'{"model":"m","prompt":{}}'),
        (EMBEDDINGS, b'{"model":"m","input":null}'),
        (RESPONSES, b'{"model":"m","input":1}'),
        (MESSAGES, b'{"model":"m","messages":"hi"}'),
    ],
)
def test_what_is_asked_must_be_of_the_dialects_shape(grammar: Grammar, body: bytes) -> None:
    refusal = read_request(grammar, body)

    assert isinstance(refusal, Refusal)
    assert (Fault.INVALID_REQUEST, grammar.content) == (refusal.fault, refusal.param)


@pytest.mark.parametrize(
    ("grammar", "body"),
    [
        (COMPLETIONS, b'{"model":"m","prompt":[1,2]}'),
        (EMBEDDINGS, b'{"model":"m","input":["a"]}'),
        (RESPONSES, b'{"model":"m","prompt":{"id":"p"}}'),
        (RESPONSES, b'{"model":"m","input":"hi"}'),
        (MESSAGES, b'{"model":"m","messages":[]}'),
    ],
)
def test_each_dialect_is_read_and_written_as_it_came(grammar: Grammar, body: bytes) -> None:
    request = read_request(grammar, body)

    assert isinstance(request, Request)
    assert body.replace(b'"m"', b'"up"') == upstream_body(request, "up")


def test_a_route_that_does_not_stream_says_so() -> None:
    refusal = read_request(EMBEDDINGS, b'{"model":"m","input":"a","stream":true}')

    assert isinstance(refusal, Refusal)
    assert "stream" == refusal.param


@pytest.mark.parametrize("grammar", [MESSAGES, RESPONSES])
def test_a_dialect_that_always_tells_its_usage_is_not_asked_for_it(grammar: Grammar) -> None:
    body = b'{"model":"m","%b":[],"stream":true}' % grammar.content.encode()
    request = read_request(grammar, body)

    assert isinstance(request, Request)
    assert request.wants_usage
    assert body == upstream_body(request, "m")
