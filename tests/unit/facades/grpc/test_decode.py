import math

import pytest
from checkrein.v1.chat_pb2 import (
    ChatCompletion,
    ChatCompletionRequest,
    ChatMessage,
    ContentPart,
    Tool,
    ToolChoice,
)
from checkrein.v1.embeddings_pb2 import EmbeddingsRequest
from msgspec import Raw

from router.domain.dialects.dialect import CHAT, EMBEDDINGS
from router.domain.dialects.request import Request, read_request
from router.domain.faults import Fault, Refusal
from router.domain.stream import ReplyMode
from router.facades.grpc.decode import chat_body, decoded, embeddings_body
from router.facades.grpc.encode import encoded

WHOLE = (
    b'{"model":"small","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text",'
    b'"text":"What?","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"data:,","detail":'
    b'"low"}},{"type":"refusal", "refusal":"no"}]},{"role":"assistant","tool_calls":[{"id":"call_1","type":"function",'
    b'"function":{"name":"f","arguments":"{\\"a\\": 1.0}"}}],"content":null},{"role":"tool","content":"",'
    b'"tool_call_id":"call_1"}],"temperature":0.2,"n":1,"stop":["a","b"],"seed":5,"tools":[{"type":"function","function":'
    b'{"name":"f","description":"d","parameters":{ "type":"object", "properties":{"b":{"minimum":5.0},"a":{}} },'
    b'"strict":true}},{"type":"web_search", "x":1.0}],"tool_choice":{"type":"function","function":{"name":"f"}},'
    b'"response_format":{"type":"json_schema","json_schema":{"name" :1.0}},"metadata":{"a":"1","b":"2"},"modalities":'
    b'["text"],"logit_bias":{"5":-100},"max_tokens":null,"fallbacks":["other"]}'
)
"""In the order in which a typed request is written."""


PART = "messages[1].content.parts.parts[1]"


def invalid(**fields: object) -> ChatCompletionRequest:
    return ChatCompletionRequest(model="small", **fields)  # type: ignore[arg-type]


def message(**fields: object) -> ChatCompletionRequest:
    return invalid(messages=[ChatMessage(role="user"), ChatMessage(**fields)])  # type: ignore[arg-type]


def part(**fields: object) -> ChatCompletionRequest:
    return message(content={"parts": {"parts": [{"text": "a"}, ContentPart(**fields)]}})  # type: ignore[arg-type]


def tool(**fields: object) -> ChatCompletionRequest:
    return invalid(tools={"tools": [Tool(**fields)]})  # type: ignore[arg-type]


def test_a_typed_request_is_the_json_that_it_was_made_of() -> None:
    typed = encoded(ChatCompletionRequest, WHOLE)
    assert typed is not None

    assert WHOLE == chat_body(ChatCompletionRequest.FromString(typed.SerializeToString()), stream=False)


def test_the_method_says_whether_it_streams() -> None:
    request = ChatCompletionRequest(model="small", extra_json='{"top_k":1}')

    streaming, unary = chat_body(request, stream=True), chat_body(request, stream=False)

    assert (
        b'{"model":"small","top_k":1,"messages":[],"stream":true}',
        b'{"model":"small","top_k":1,"messages":[]}',
    ) == (
        streaming,
        unary,
    )
    read = read_request(CHAT, streaming)  # type: ignore[arg-type]
    assert isinstance(read, Request)
    assert ReplyMode.STREAM is read.mode


@pytest.mark.parametrize(("said", "stream"), [("true", True), ("false", False), ("null", False), (" true ", True)])
def test_a_stream_may_be_said_as_the_method_says_it(said: str, stream: bool) -> None:
    body = chat_body(ChatCompletionRequest(extra_json=f'{{"stream":{said}}}'), stream=stream)

    assert b'{"stream":%b,"messages":[]}' % said.strip().encode() == body


@pytest.mark.parametrize(
    ("request_", "path", "words"),
    [
        (invalid(temperature=math.nan), "temperature", "is no number that JSON has"),
        (invalid(top_p=math.inf), "top_p", "is no number that JSON has"),
        (invalid(stop={}), "stop", "has none of `text`, `texts`"),
        (invalid(tool_choice={}), "tool_choice", "has none of `mode`, `function_name`, `raw_json`"),
        (invalid(tool_choice=ToolChoice(raw_json="{")), "tool_choice.raw_json", "is not JSON (a string or"),
        (invalid(extra_json="[]"), "extra_json", "is not a JSON object"),
        (invalid(extra_json=" "), "extra_json", "is not a JSON object"),
        (invalid(extra_json='{"a":NaN}'), "extra_json", "is not a JSON object"),
        (invalid(extra_json='{"a":1}}'), "extra_json", "is not a JSON object (trailing characters (byte 8))"),
        (invalid(extra_json='{"a":' + "[" * 100_000), "extra_json", "is not a JSON object (it is nested too deeply)"),
        (invalid(extra_json='{"model":"other"}'), "model", "is in a field and in `extra_json` too"),
        (invalid(extra_json=r'{"\u006dodel":null}'), "model", "is in a field and in `extra_json` too"),
        (invalid(messages=[{}], extra_json='{"messages":[]}'), "messages", "is in a field and in `extra_json` too"),
        (invalid(stream_options={"extra_json": "1"}), "stream_options.extra_json", "is not a JSON object"),
        (invalid(response_format={"json_schema_json": "1}"}), "response_format.json_schema_json", "is not JSON"),
        (message(content={}), "messages[1].content", "has none of `text`, `parts`"),
        (message(role="user", extra_json='{"role":1}'), "messages[1].role", "is in a field"),
        (message(tool_calls=[{"function": {"extra_json": "x"}}]), "messages[1].tool_calls[0].function.extra_json", ""),
        (part(), PART, "has none of `text`, `image_url`, `input_audio`, `file`, `raw_json`"),
        (part(raw_json="[]"), f"{PART}.raw_json", "is not a JSON object"),
        (part(raw_json="{}", extra_json="{}"), f"{PART}.extra_json", "stands beside"),
        (part(text="a", extra_json='{"type":"b"}'), f"{PART}.type", "is in a field"),
        (part(text="a", extra_json='{"text":"b"}'), f"{PART}.text", "is in a field"),
        (part(image_url={"extra_json": "1"}), f"{PART}.image_url.extra_json", "is not a JSON"),
        (tool(), "tools.tools[0]", "has none of `function`, `raw_json`"),
        (tool(function={"parameters_json": ""}), "tools.tools[0].function.parameters_json", "is not JSON"),
        (tool(function={"parameters_json": '{}},"api_base":{'}), "tools.tools[0].function.parameters_json", ""),
        (tool(function={}, extra_json='{"function":1}'), "tools.tools[0].function", "is in a field"),
        (invalid(extra_json='{"stream":true}'), "stream", "contradicts the method, which does not stream"),
        (invalid(extra_json='{"stream":1}'), "stream", "contradicts the method, which does not stream"),
    ],
)  # fmt: skip
def test_what_breaks_the_rules_is_refused_where_it_stands(
    request_: ChatCompletionRequest, path: str, words: str
) -> None:
    refusal = chat_body(request_, stream=False)

    assert isinstance(refusal, Refusal)
    assert (Fault.INVALID_REQUEST, path) == (refusal.fault, refusal.param)
    assert refusal.message.startswith(f"`{path}` {words}")
    assert refusal.message.endswith(".")
    assert len(refusal.message) < 300


@pytest.mark.parametrize("said", ["false", "null", '"true"'])
def test_a_stream_that_is_said_not_to_be_one_is_refused(said: str) -> None:
    refusal = chat_body(ChatCompletionRequest(extra_json=f'{{"stream":{said}}}'), stream=True)

    assert isinstance(refusal, Refusal)
    assert (
        "`stream` contradicts the method, which streams. Leave it out, or call CreateChatCompletion." == refusal.message
    )


@pytest.mark.parametrize("place", [(), ("messages",)], ids=["request", "message"])
def test_fields_of_a_newer_client_are_refused_and_not_lost(place: tuple[str, ...]) -> None:
    request = ChatCompletionRequest(model="small", messages=[{"role": "user"}])
    newer = request.messages[0] if place else request
    newer.MergeFromString(b"\xfa\x3e\x01a")  # field 1007, a text

    refusal = chat_body(request, stream=False)

    assert isinstance(refusal, Refusal)
    assert refusal.message.startswith("The request has fields that this router does not know")
    assert refusal.param is None


def test_an_empty_list_is_there_and_what_is_absent_is_not() -> None:
    request = ChatCompletionRequest(
        model="", messages=[{"tool_calls": []}], stop={"texts": {}}, tools={}, stream_options={}, extra_json="{}"
    )

    assert b'{"model":"","messages":[{}],"stop":[],"tools":[],"stream_options":{}}' == decoded(request)


@pytest.mark.parametrize("member", ['"a":"\\ud800"', '"temperature":1e400', '"a":{"b":1,"b":2}', '"\\u0061":-0'])
def test_values_in_extra_json_go_on_byte_for_byte(member: str) -> None:
    value = member.partition(":")[2].encode()

    body = decoded(ChatCompletionRequest(model="m", extra_json=f"{{ {member} }}"))

    assert body.startswith(b'{"model":"m",')
    assert body.endswith(b':%b,"messages":[]}' % value)


def test_of_a_name_that_comes_twice_in_extra_json_the_last_counts() -> None:
    body = chat_body(ChatCompletionRequest(extra_json='{"stream":true,"a":1,"stream":false,"a":2}'), stream=False)

    assert b'{"stream":false,"a":2,"messages":[]}' == body


def test_the_pipeline_refuses_over_grpc_what_it_refuses_over_http() -> None:
    half = chat_body(ChatCompletionRequest(model="m", extra_json='{"a":"\\ud800"}'), stream=False)
    deep = chat_body(
        message(content={"parts": {"parts": [{"raw_json": '{"a":' + "[" * 980 + "]" * 980 + "}"}]}}), stream=False
    )

    for body in (half, deep):
        refusal = read_request(CHAT, body) if isinstance(body, bytes) else body
        assert isinstance(refusal, Refusal)
        assert Fault.INVALID_REQUEST is refusal.fault


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"text": ""}, '""'),
        ({"texts": {"values": ["a", "b"]}}, '["a","b"]'),
        ({"texts": {}}, "[]"),
        ({"tokens": {"values": [1, 2]}}, "[1,2]"),
        ({"token_lists": {"values": [{"values": [1]}, {}]}}, "[[1],[]]"),
        ({"extra_json": '{"input":5}'}, "5"),
    ],
)
def test_an_embedding_is_asked_for_with_what_is_set(fields: dict[str, object], written: str) -> None:
    body = embeddings_body(EmbeddingsRequest(model="m", **fields))  # type: ignore[arg-type]

    assert b'{"model":"m","input":%b}' % written.encode() == body


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"text": "a", "extra_json": '{"input":"b"}'}, "input"),
        ({"dimensions": 1, "extra_json": '{"dimensions":2}'}, "dimensions"),
        ({"text": "a", "extra_json": '{"stream":true}'}, "stream"),
        ({"text": "a", "extra_json": "null"}, "extra_json"),
        ({}, "input"),
        ({"text": "a", "model": ""}, "model"),
    ],
)
def test_an_embedding_that_breaks_the_rules_is_refused(fields: dict[str, object], path: str) -> None:
    body = embeddings_body(EmbeddingsRequest(**{"model": "m", **fields}))  # type: ignore[arg-type]

    refusal = read_request(EMBEDDINGS, body) if isinstance(body, bytes) else body

    assert isinstance(refusal, Refusal)
    assert (Fault.INVALID_REQUEST, path) == (refusal.fault, refusal.param)


def test_members_of_a_reply_are_written_too() -> None:
    assert b'{"usage":{"a":1.0 },"choices":[]}' == decoded(ChatCompletion(usage_json='{"a":1.0 }'))
    assert Raw(b"1") == read_request(EMBEDDINGS, b'{"model":"m","input":"","a":1}').fields["a"]  # type: ignore[union-attr]
