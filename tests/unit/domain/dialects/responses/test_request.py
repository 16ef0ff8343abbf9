import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.dialects.responses.request import from_chat, to_chat
from router.domain.dialects.translation import Translated, Untranslatable
from tests.support.responses import plain, raws

ASK = {"model": "m", "input": "hi"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
FLAT = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
NESTED = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": False}}


def chat(fields: Mapping[str, object], *, drop: bool = False) -> tuple[dict[str, object], tuple[str, ...]]:
    found = to_chat(raws(fields), drop=drop)
    assert isinstance(found, Translated), found
    return plain(found.fields), found.dropped


def responses(fields: Mapping[str, object], *, drop: bool = False) -> tuple[dict[str, object], tuple[str, ...]]:
    found = from_chat(raws(fields), drop=drop)
    assert isinstance(found, Translated), found
    return plain(found.fields), found.dropped


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ({"temperature": 0.1}, {"temperature": 0.1}),
        ({"top_p": 0.9}, {"top_p": 0.9}),
        ({"max_output_tokens": 9}, {"max_completion_tokens": 9}),
        ({"user": "u", "safety_identifier": "s"}, {"user": "u", "safety_identifier": "s"}),
        ({"prompt_cache_key": "k", "service_tier": "flex"}, {"prompt_cache_key": "k", "service_tier": "flex"}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "high"}},
            {
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
                "verbosity": "high",
            },
        ),
        (
            {"tools": [FLAT], "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False},
            {
                "tools": [NESTED],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
        (
            {"include": ["message.output_text.logprobs"], "top_logprobs": 3},
            {"logprobs": True, "top_logprobs": 3},
        ),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
    ],
)
def test_what_both_can_say_goes_both_ways(member: dict[str, object], said: dict[str, object]) -> None:
    assert (CHAT | said, ()) == chat(ASK | member)
    message = {"type": "message", "role": "user", "content": "hi"}
    assert ({"model": "m", "input": [message], "store": False} | member, ()) == responses(CHAT | said)


@pytest.mark.parametrize(
    "member",
    [
        {"metadata": {"a": "b"}},
        {"client_metadata": {"a": "b"}},
        {"store": True},
        {"store": False},
        {"background": False},
        {"truncation": "disabled"},
        {"max_tool_calls": 3},
        {"stream_options": {"include_obfuscation": False}},
        {"include": ["reasoning.encrypted_content"]},
        {"reasoning": {"summary": "auto", "context": "all_turns", "mode": "standard"}},
        {"text": {"format": {"type": "text"}}},
        {"previous_response_id": None, "conversation": None, "future": None},
        {"top_logprobs": 0},
        {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
    ],
)
def test_what_makes_no_difference_is_not_written(member: dict[str, object]) -> None:
    assert (CHAT, ()) == chat(ASK | member)


def test_a_stream_asks_for_the_usage_with_which_its_last_event_ends() -> None:
    found, _ = chat(ASK | {"stream": True})

    assert CHAT | {"stream": True, "stream_options": {"include_usage": True}} == found


@pytest.mark.parametrize(
    ("member", "param"),
    [
        ({"moderation": {"model": "x"}}, "moderation"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"truncation": "auto"}, "truncation"),
        ({"future": 1}, "future"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"text": {"future": 1}}, "text.future"),
        ({"include": ["future"]}, "include[0]"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ],
)
def test_what_a_chat_cannot_say_is_named_or_left_out(member: dict[str, object], param: str) -> None:
    found = to_chat(raws(ASK | member), drop=False)
    assert isinstance(found, Untranslatable)
    assert param == found.param
    assert "Remove it" in found.message

    assert (CHAT, (param,)) == chat(ASK | member, drop=True)


@pytest.mark.parametrize(
    "member",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"background": True},
    ],
)
def test_what_needs_a_store_is_refused_even_from_who_drops(member: dict[str, object]) -> None:
    found = to_chat(raws(ASK | member), drop=True)

    assert isinstance(found, Untranslatable)
    assert next(iter(member)) == found.param


def test_a_choice_that_needs_tools_is_left_for_the_provider_to_judge() -> None:
    assert CHAT | {"tool_choice": "required"} == chat(ASK | {"tool_choice": "required"})[0]


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"model": "m"}, "input"), (ASK | {"tools": {}}, "tools"), (ASK | {"text": 1}, "text")],
)
def test_a_malformed_request_names_what_is_wrong(fields: dict[str, object], param: str) -> None:
    found = to_chat(raws(fields), drop=True)

    assert isinstance(found, Untranslatable)
    assert param == found.param


@pytest.mark.parametrize(
    "member",
    [
        {"n": 1},
        {"stop": []},
        {"frequency_penalty": 0, "presence_penalty": 0.0},
        {"logit_bias": {}},
        {"modalities": ["text"]},
        {"prediction": {"type": "content", "content": "x"}},
        {"stream_options": {"include_usage": True}},
        {"logprobs": False},
        {"response_format": {"type": "text"}},
        {"tools": [], "parallel_tool_calls": True, "tool_choice": "none"},
        {"audio": None},
    ],
)
def test_what_makes_no_difference_to_responses_is_not_written(member: dict[str, object]) -> None:
    assert responses(CHAT) == responses(CHAT | member)


@pytest.mark.parametrize(
    ("member", "param"),
    [
        ({"n": 2}, "n"),
        ({"stop": "x"}, "stop"),
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"future": 1}, "future"),
    ],
)
def test_what_responses_cannot_say_is_named_or_left_out(member: dict[str, object], param: str) -> None:
    found = from_chat(raws(CHAT | member), drop=False)
    assert isinstance(found, Untranslatable)
    assert param == found.param

    assert (responses(CHAT)[0], (param,)) == responses(CHAT | member, drop=True)


def test_a_chat_is_stored_only_if_it_asks_for_that() -> None:
    assert False is responses(CHAT)[0]["store"]
    assert True is responses(CHAT | {"store": True, "metadata": {"a": "b"}})[0]["store"]


def test_of_two_limits_the_present_name_counts() -> None:
    assert 7 == responses(CHAT | {"max_completion_tokens": 7, "max_tokens": 9})[0]["max_output_tokens"]
    assert 7 == responses(CHAT | {"max_tokens": 7})[0]["max_output_tokens"]


def test_verbosity_and_format_share_a_member() -> None:
    found, _ = responses(CHAT | {"response_format": {"type": "json_object"}, "verbosity": "low"})

    assert {"format": {"type": "json_object"}, "verbosity": "low"} == found["text"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SOME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
NAME = st.text("abcdef_", min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def turns(draw: st.DrawFn) -> list[dict[str, object]]:
    """Draw a conversation that both dialects can hold, as chat messages."""
    messages: list[dict[str, object]] = []
    for number in range(draw(st.integers(1, 4))):
        part = st.one_of(
            st.builds(lambda text: {"type": "text", "text": text}, TEXT),
            st.builds(lambda url: {"type": "image_url", "image_url": {"url": url, "detail": "low"}}, TEXT),
            st.builds(lambda data: {"type": "file", "file": {"file_data": data, "filename": "f"}}, TEXT),
        )
        content = draw(TEXT | st.lists(part, min_size=2, max_size=3))
        messages.append({"role": draw(st.sampled_from(["user", "system", "developer"])), "content": content})
        calls = [
            {
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {"name": draw(NAME), "arguments": json.dumps(draw(JSON), ensure_ascii=draw(st.booleans()))},
            }
            for index in range(draw(st.integers(0, 3)))
        ]
        if calls:
            messages.append({"role": "assistant", "content": draw(st.none() | SOME), "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(TEXT)} for call in calls]
        else:
            messages.append({"role": "assistant", "content": draw(SOME)})
    return messages


@st.composite
def chats(draw: st.DrawFn) -> dict[str, object]:
    tool = st.builds(
        lambda name, schema, strict: {
            "type": "function",
            "function": {"name": name, "parameters": {"type": "object", "x": schema}, "strict": strict},
        },
        NAME,
        JSON,
        st.booleans(),
    )
    optional = {
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "max_completion_tokens": st.integers(1, 10**6),
        "reasoning_effort": st.sampled_from(["minimal", "low", "high"]),
        "verbosity": st.sampled_from(["low", "high"]),
        "response_format": st.builds(
            lambda schema: {"type": "json_schema", "json_schema": {"name": "n", "schema": {"x": schema}}}, JSON
        ),
        "tools": st.lists(tool, min_size=1, max_size=3),
        "user": TEXT,
        "prompt_cache_key": TEXT,
    }
    extra = draw(st.fixed_dictionaries({}, optional=optional))
    if "tools" in extra:
        choices = ["auto", "required", {"type": "function", "function": {"name": "f"}}]
        extra |= {"tool_choice": draw(st.sampled_from(choices)), "parallel_tool_calls": draw(st.booleans())}
    return {"model": "m", "messages": draw(turns()), **extra}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(chats())
def test_a_chat_comes_back_from_responses_as_it_was(fields: dict[str, object]) -> None:
    there = from_chat(raws(fields), drop=False)
    assert isinstance(there, Translated), there
    back = to_chat(there.fields, drop=False)
    assert isinstance(back, Translated), back

    assert fields == plain(back.fields)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(chats())
def test_a_response_comes_back_from_chat_as_it_was(fields: dict[str, object]) -> None:
    there = from_chat(raws(fields), drop=False)
    assert isinstance(there, Translated), there
    back = to_chat(there.fields, drop=False)
    assert isinstance(back, Translated), back
    again = from_chat(back.fields, drop=False)
    assert isinstance(again, Translated), again

    assert plain(there.fields) == plain(again.fields)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["input", "text", "tools", "reasoning", "include", "messages"]), JSON),
    st.booleans(),
)
def test_whatever_comes_gets_its_answer(fields: dict[str, object], drop: bool) -> None:
    for translate in (to_chat, from_chat):
        assert isinstance(translate(raws(fields), drop=drop), Translated | Untranslatable)


def test_the_callers_members_stay_as_they_were() -> None:
    fields = raws(ASK | {"tools": [FLAT]})
    before = dict(fields)

    to_chat(fields, drop=False)

    assert before == fields
    assert Raw(b'"m"') == fields["model"]
