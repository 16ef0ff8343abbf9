import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.domain.dialects.messages.request import from_chat, to_chat
from router.domain.dialects.translation import Translated, Untranslatable
from tests.support.messages_streams import Json, fields_of

DEFAULT = 4_096
ASK = [{"role": "user", "content": "hi"}]
CHAT = {"model": "m", "messages": ASK}
MESSAGES = {"model": "m", "messages": ASK, "max_tokens": 100}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


def read(result: Translated | Untranslatable) -> Json:
    assert isinstance(result, Translated), result
    assert () == result.dropped
    return {name: json.loads(bytes(raw)) for name, raw in result.fields.items()}


def messages_of(**members: object) -> Json:
    return read(from_chat(fields_of(CHAT | members), drop=False, max_tokens_default=DEFAULT))


def chat_of(**members: object) -> Json:
    return read(to_chat(fields_of(MESSAGES | members), drop=False))


def added(found: Json, to: Json) -> Json:
    return {name: value for name, value in found.items() if to.get(name) != value}


def test_a_request_of_an_agent_keeps_what_it_says() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
    found = messages_of(
        messages=[{"role": "system", "content": "Be brief."}, *ASK],
        stream=True,
        stream_options={"include_usage": True},
        max_completion_tokens=5_000,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=["a", "b"],
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
        reasoning_effort="medium",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
        user="u-1",
        service_tier="default",
        metadata={"run": "7"},
    )

    assert {
        "model": "m",
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "system": "Be brief.",
        "messages": ASK,
        "max_tokens": 5_000,
        "stop_sequences": ["a", "b"],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2_048},
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "metadata": {"user_id": "u-1"},
        "service_tier": "standard_only",
    } == found


def test_a_request_of_messages_keeps_what_it_says() -> None:
    found = chat_of(
        system="Be brief.",
        stream=True,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["a", "b"],
        tools=[{"name": "f", "input_schema": SCHEMA}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2_048},
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        metadata={"user_id": "u-1"},
        service_tier="standard_only",
        cache_control={"type": "ephemeral"},
    )

    assert {
        "model": "m",
        "stream": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "messages": [{"role": "system", "content": "Be brief."}, *ASK],
        "max_completion_tokens": 100,
        "stop": ["a", "b"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning_effort": "medium",
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}},
        "user": "u-1",
        "service_tier": "default",
    } == found


@pytest.mark.parametrize(
    ("members", "max_tokens"),
    [
        ({}, DEFAULT),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 8, "max_tokens": 7}, 8),
        ({"max_completion_tokens": None, "max_tokens": 7}, 7),
    ],
)
def test_messages_always_has_a_maximum(members: Json, max_tokens: int) -> None:
    assert max_tokens == messages_of(**members)["max_tokens"]


def test_numbers_keep_their_digits() -> None:
    fields = fields_of(CHAT | {"temperature": 0.5})
    fields["temperature"] = type(fields["temperature"])(b"0.50")
    found = from_chat(fields, drop=False, max_tokens_default=DEFAULT)

    assert isinstance(found, Translated)
    assert b"0.50" == bytes(found.fields["temperature"])


@pytest.mark.parametrize(
    ("members", "adds"),
    [
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": []}, {}),
        ({"temperature": 1}, {"temperature": 1}),
        ({"user": "u", "safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"user": "someone@example.com"}, {}),
        ({"user": "+49 (30) 1234-567"}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "priority"}, {"service_tier": "auto"}),
        ({"response_format": {"type": "text"}}, {}),
        ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}),
        ({"n": 1, "store": False, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0.0}, {}),
        ({"logit_bias": {}, "modalities": ["text"], "verbosity": "medium", "top_logprobs": 0, "seed": None}, {}),
        ({"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prediction": {"type": "content"}}, {}),
        ({"parallel_tool_calls": False}, {}),
        ({"future": None}, {}),
    ],
)
def test_members_of_chat_have_a_counterpart_or_ask_for_nothing(members: Json, adds: Json) -> None:
    assert adds == added(messages_of(**members), to=messages_of())


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"n": 2}, "n"),
        ({"seed": 0}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"store": True}, "store"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"verbosity": "low"}, "verbosity"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": []}, "functions"),
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"x_future": 1}, "x_future"),
        ({"temperature": 1.1}, "temperature"),
        ({"stop": ["\n", "x"]}, "stop"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "description": "d", "schema": {}},
                }
            },
            "response_format.json_schema.description",
        ),
        ({"service_tier": "flex"}, "service_tier"),
        ({"reasoning_effort": "high", "max_tokens": 10}, "reasoning_effort"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
    ],
)
def test_what_messages_cannot_say_refuses_the_call_or_is_dropped_and_named(members: Json, param: str) -> None:
    fields = fields_of(CHAT | members)
    refused = from_chat(fields, drop=False, max_tokens_default=DEFAULT)
    dropped = from_chat(fields, drop=True, max_tokens_default=DEFAULT)

    assert isinstance(refused, Untranslatable)
    assert param == refused.param
    assert refused.message
    assert isinstance(dropped, Translated)
    assert (param,) == dropped.dropped


def test_what_is_dropped_leaves_the_rest_as_it_was() -> None:
    members = {"temperature": 2, "seed": 1, "stop": [" ", "x"], "top_p": 0.5}
    found = from_chat(fields_of(CHAT | members), drop=True, max_tokens_default=DEFAULT)

    assert isinstance(found, Translated)
    assert ("seed", "temperature", "stop") == found.dropped
    assert {"top_p": b"0.5", "stop_sequences": b'["x"]'} == {
        name: bytes(raw) for name, raw in found.fields.items() if name not in ("model", "messages", "max_tokens")
    }


def test_a_newer_model_gets_an_effort() -> None:
    fields = fields_of(CHAT | {"reasoning_effort": "low"})
    found = read(from_chat(fields, drop=False, max_tokens_default=DEFAULT, model="claude-opus-5"))

    assert {"effort": "low"} == found["output_config"]
    assert "adaptive" == found["thinking"]["type"]


@pytest.mark.parametrize(
    ("members", "adds"),
    [
        ({"stop_sequences": []}, {}),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        ({"metadata": {"user_id": None}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"mcp_servers": [], "container": None, "inference_geo": None}, {}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, {"tool_choice": "auto"}),
        (
            {"output_format": {"type": "json_schema", "schema": {}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "reply", "schema": {}, "strict": True},
                }
            },
        ),
    ],
)
def test_members_of_messages_have_a_counterpart_or_ask_for_nothing(members: Json, adds: Json) -> None:
    assert adds == added(chat_of(**members), to=chat_of())


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"mcp_servers": [{"url": "https://a"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"context_management": {}}, "context_management"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"x_future": 1}, "x_future"),
        ({"metadata": {"user_id": "u", "x": 1}}, "metadata.x"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
        ({"output_config": {"format": {"type": "regex"}}}, "output_config.format.type"),
        ({"output_format": {"type": "json_schema", "schema": {}, "x": 1}}, "output_format.x"),
        ({"service_tier": "turbo"}, "service_tier"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"thinking": {"type": "adaptive", "x": 1}}, "thinking.x"),
    ],
)
def test_what_chat_cannot_say_refuses_the_call_or_is_dropped_and_named(members: Json, param: str) -> None:
    fields = fields_of(MESSAGES | members)
    refused = to_chat(fields, drop=False)
    dropped = to_chat(fields, drop=True)

    assert isinstance(refused, Untranslatable)
    assert param == refused.param
    assert refused.message
    assert isinstance(dropped, Translated)
    assert (param,) == dropped.dropped


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": 5}, "stop"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": {}}, "tools"),
        ({"user": 5}, "user"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"service_tier": 1}, "service_tier"),
    ],
)
def test_what_is_no_request_of_chat_is_named_even_where_losses_are_fine(members: Json, param: str) -> None:
    found = from_chat(fields_of(CHAT | members), drop=True, max_tokens_default=DEFAULT)

    assert isinstance(found, Untranslatable)
    assert param == found.param


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": None}, "messages"),
        ({"system": 5}, "system"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"metadata": "x"}, "metadata"),
        ({"output_config": []}, "output_config"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"thinking": True}, "thinking"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
    ],
)
def test_what_is_no_request_of_messages_is_named_even_where_losses_are_fine(members: Json, param: str) -> None:
    found = to_chat(fields_of(MESSAGES | members), drop=True)

    assert isinstance(found, Untranslatable)
    assert param == found.param


TEXT: Any = st.text(min_size=1, max_size=8)
CACHE: Any = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
TEXT_PART: Any = st.builds(lambda text, cache: {"type": "text", "text": text, **cache}, TEXT, CACHE)
IMAGE_PART: Any = st.builds(
    lambda url, cache: {"type": "image_url", "image_url": {"url": url}, **cache},
    st.sampled_from(["data:image/png;base64,AAAA", "https://example.com/a.png"]),
    CACHE,
)
PARTS: Any = st.lists(TEXT_PART | IMAGE_PART, min_size=2, max_size=3)
GIVEN: Any = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2)


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """Draw what both dialects can say, as Chat Completions says it."""
    said: list[Json] = []
    if draw(st.booleans()):
        said.append({"role": "system", "content": draw(TEXT | st.lists(TEXT_PART, min_size=2, max_size=3))})
    for turn in range(draw(st.integers(1, 3))):
        said.append({"role": "user", "content": draw(TEXT | PARTS)})
        assistant: Json = {"role": "assistant", "content": draw(TEXT)}
        thinking = draw(st.none() | TEXT)
        if thinking is not None:
            assistant["reasoning_content"] = thinking
            assistant["thinking_blocks"] = [{"type": "thinking", "thinking": thinking, "signature": draw(TEXT)}]
        calls = draw(st.lists(GIVEN, max_size=2))
        if calls:
            assistant["content"] = draw(st.none() | TEXT)
            assistant["tool_calls"] = [
                {"id": f"c{turn}_{n}", "type": "function", "function": {"name": "f", "arguments": json.dumps(given)}}
                for n, given in enumerate(calls)
            ]
        said.append(assistant)
        for n in range(len(calls)):
            content = draw(st.text(max_size=5) | st.lists(TEXT_PART, min_size=2, max_size=2))
            said.append({"role": "tool", "tool_call_id": f"c{turn}_{n}", "content": content})
    return said


REQUESTS: Any = st.fixed_dictionaries(
    {"model": TEXT, "messages": conversations(), "max_completion_tokens": st.integers(20_000, 10**6)},
    optional={
        "stream": st.booleans(),
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "stop": st.lists(st.text("abc", min_size=1), min_size=1),
        "tools": st.just([{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}]),
        "tool_choice": st.sampled_from(["auto", "none", "required", {"type": "function", "function": {"name": "f"}}]),
        "reasoning_effort": st.sampled_from(["low", "medium", "high"]),
        "user": st.text("abc-", min_size=1),
        "service_tier": st.sampled_from(["auto", "default"]),
        "response_format": st.just(
            {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA, "strict": True}}
        ),
    },
)


@pytest.mark.slow
@settings(deadline=None)
@given(REQUESTS)
def test_what_both_can_say_comes_back_as_it_was(request: Json) -> None:
    there = from_chat(fields_of(request), drop=False, max_tokens_default=DEFAULT)
    assert isinstance(there, Translated)
    back = to_chat(there.fields, drop=False, extended=True)
    assert isinstance(back, Translated)
    again = from_chat(back.fields, drop=False, max_tokens_default=DEFAULT)

    assert request == read(back)
    assert there == again


JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["function", "text", "tool_use"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "url", "x"]), inner),
    max_leaves=4,
)
FULL_CHAT: Json = {
    **CHAT,
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,YQ=="}}]},
        {
            "role": "assistant",
            "content": None,
            "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "x"}]},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "reasoning_effort": "low",
    "temperature": 1,
    "stop": ["x"],
    "user": "u",
    "service_tier": "auto",
}


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[found for name, member in inner for found in paths_of(member, (*path, name))]]


def broken(request: Json, path: tuple[str | int, ...], junk: object) -> Json:
    copy: Any = json.loads(json.dumps(request))
    at = copy
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = junk
    found: Json = copy
    return found


@pytest.mark.slow
@settings(deadline=None)
@given(path=st.sampled_from(paths_of(FULL_CHAT)[1:]), junk=JUNK, drop=st.booleans())
def test_no_request_of_chat_is_without_an_answer(path: tuple[str | int, ...], junk: object, drop: bool) -> None:
    found = from_chat(fields_of(broken(FULL_CHAT, path, junk)), drop=drop, max_tokens_default=DEFAULT)

    assert isinstance(found, (Translated, Untranslatable))


FULL_MESSAGES = read(from_chat(fields_of(FULL_CHAT), drop=False, max_tokens_default=DEFAULT))


@pytest.mark.slow
@settings(deadline=None)
@given(path=st.sampled_from(paths_of(FULL_MESSAGES)[1:]), junk=JUNK, drop=st.booleans())
def test_no_request_of_messages_is_without_an_answer(path: tuple[str | int, ...], junk: object, drop: bool) -> None:
    assert isinstance(to_chat(fields_of(broken(FULL_MESSAGES, path, junk)), drop=drop), (Translated, Untranslatable))
