"""What a deployment is given to read of what a caller asked."""

import json
from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Provider, ProviderKind
from router.domain.dialects.authors import Authors
from router.domain.dialects.dialect import CHAT, MESSAGES, Dialect, Grammar
from router.domain.dialects.request import Request, read_request
from router.domain.faults import Fault, Refusal
from router.domain.ids import ProviderId
from router.domain.planning.directives import Directives
from router.domain.planning.plan import RoutePlan
from router.pipeline.wording import worded_for
from tests.support.fakes import deployment, snapshot

PROVIDER = next(iter(snapshot().providers.values()))
MODEL = next(iter(snapshot().models.values()))
DROPPING = Directives(drop_params=True, consumed=("drop_params",))


def chat(**members: object) -> Request:
    request = read_request(CHAT, json.dumps({"model": "small", "messages": [], **members}).encode())
    assert isinstance(request, Request)
    return request


def plan(**members: object) -> RoutePlan:
    return RoutePlan(asked=MODEL, model=MODEL, candidates=MODEL.deployments, **members)  # type: ignore[arg-type]


def speaking(*dialects: Dialect) -> Deployment:
    return replace(deployment(), dialects=frozenset(dialects))


def test_who_speaks_the_callers_dialect_reads_the_callers_own_request() -> None:
    request = chat()

    assert request is worded_for(speaking(Dialect.CHAT), PROVIDER, request, plan())


def test_what_was_meant_for_the_router_is_not_sent_on() -> None:
    worded = worded_for(speaking(Dialect.CHAT), PROVIDER, chat(drop_params=True), plan(directives=DROPPING))

    assert isinstance(worded, Request)
    assert {"model", "messages"} == set(worded.fields)


@pytest.mark.parametrize(("home", "kept"), [(None, True), ("test", True), ("another", False)])
def test_what_another_provider_wrote_for_itself_is_not_sent_on(home: str | None, kept: bool) -> None:
    request = chat(messages=[{"role": "assistant", "content": "x", "thinking_blocks": []}])
    at = replace(deployment(), provider=ProviderId("test"))
    worded = worded_for(at, PROVIDER, request, plan(home=home))

    assert isinstance(worded, Request)
    assert kept == (b"thinking_blocks" in bytes(worded.fields["messages"]))


@pytest.mark.parametrize("home", [None, "test", "another"])
@pytest.mark.parametrize(("author", "kept"), [("test", True), ("another", False)])
def test_where_it_is_known_who_signed_a_thought_that_decides(home: str | None, author: str, kept: bool) -> None:
    """T18: back at a provider it has its own again; a fallback's are nobody else's, wherever the conversation was."""
    signed = {"type": "thinking", "thinking": "t", "signature": "c2lnbmVkIGJ5IHNvbWVib2R5"}
    authors = Authors()
    authors.learn(json.dumps(signed).encode(), ProviderId(author))
    authors.learn(b'{"signature":"c29tZXRoaW5nIGVsc2U"}', ProviderId("a third"))
    request = chat(messages=[{"role": "assistant", "content": "x", "thinking_blocks": [signed]}])
    at = replace(deployment(), provider=ProviderId("test"))
    worded = worded_for(at, PROVIDER, request, plan(home=home), authors)

    assert isinstance(worded, Request)
    assert kept == (b"signature" in bytes(worded.fields["messages"]))
    assert kept == (worded is request)


@pytest.mark.parametrize("thought", [{"thinking_blocks": [{"signature": "c2ln"}]}, {"reasoning_content": "t"}])
@pytest.mark.parametrize(("home", "kept"), [(None, True), ("test", True), ("another", False)])
def test_where_it_is_not_known_the_conversations_home_decides(
    home: str | None, kept: bool, thought: dict[str, object]
) -> None:
    authors = Authors()
    authors.learn(b'{"signature":"c29tZXRoaW5nIGVsc2U"}', ProviderId("a third"))
    request = chat(messages=[{"role": "assistant", "content": "x", **thought}])
    at = replace(deployment(), provider=ProviderId("test"))
    worded = worded_for(at, PROVIDER, request, plan(home=home), authors)

    assert isinstance(worded, Request)
    assert [{"role": "assistant", "content": "x", **(thought if kept else {})}] == json.loads(
        bytes(worded.fields["messages"])
    )


def test_a_call_whose_thought_was_anothers_gets_one_at_home_too() -> None:
    """T18: required reasoning field present."""
    signed = {"type": "thinking", "thinking": "t", "signature": "c2lnbmVkIGJ5IHNvbWVib2R5"}
    authors = Authors()
    authors.learn(json.dumps(signed).encode(), ProviderId("another"))
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    request = chat(messages=[{"role": "assistant", "tool_calls": calls, "thinking_blocks": [signed]}])
    provider = replace(PROVIDER, kind=ProviderKind.OPENAI_COMPATIBLE, base_url="https://api.deepseek.com/v1")
    at = replace(speaking(Dialect.CHAT), provider=ProviderId("test"))
    worded = worded_for(at, provider, request, plan(home="test"), authors)

    assert isinstance(worded, Request)
    (message,) = json.loads(bytes(worded.fields["messages"]))
    assert {"role": "assistant", "tool_calls": calls, "reasoning_content": " "} == message


def test_who_speaks_another_dialect_is_asked_in_it() -> None:
    worded = worded_for(
        speaking(Dialect.MESSAGES), PROVIDER, chat(messages=[{"role": "user", "content": "hi"}]), plan()
    )

    assert isinstance(worded, Request)
    assert worded.grammar is MESSAGES
    assert "small" == worded.model


def test_what_cannot_be_said_there_refuses_by_its_name() -> None:
    request = chat(messages=[{"role": "user", "content": "hi"}], logit_bias={"1": 1})
    refusal = worded_for(speaking(Dialect.MESSAGES), PROVIDER, request, plan())

    assert isinstance(refusal, Refusal)
    assert (Fault.UNSUPPORTED_PARAMETER, "logit_bias") == (refusal.fault, refusal.param)


def test_or_is_left_out_and_told_of_where_the_caller_wants_that() -> None:
    request = chat(messages=[{"role": "user", "content": "hi"}], logit_bias={"1": 1}, drop_params=True)
    worded = worded_for(speaking(Dialect.MESSAGES), PROVIDER, request, plan(directives=DROPPING))

    assert isinstance(worded, Request)
    assert ("logit_bias",) == worded.dropped


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        (PROVIDER, False),
        (replace(PROVIDER, kind=ProviderKind.OPENAI_COMPATIBLE, base_url="https://api.openai.com/v1"), False),
        (replace(PROVIDER, kind=ProviderKind.OPENAI_COMPATIBLE, base_url="https://openrouter.ai/api/v1"), True),
        (replace(PROVIDER, kind=ProviderKind.LITELLM), True),
    ],
)
def test_a_translated_request_says_only_what_its_provider_knows(at: Provider, kept: bool) -> None:
    said = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    body = {"model": "small", "max_tokens": 9, "messages": [{"role": "user", "content": said}]}
    request = read_request(MESSAGES, json.dumps(body).encode())
    assert isinstance(request, Request)
    worded = worded_for(speaking(Dialect.CHAT), at, request, plan())

    assert isinstance(worded, Request)
    assert kept == (b"cache_control" in bytes(worded.fields["messages"]))


@pytest.mark.parametrize(("model", "said"), [("claude-opus-4-5", b"enabled"), ("claude-opus-4-7", b"adaptive")])
def test_the_upstream_model_decides_how_thinking_is_asked_for(model: str, said: bytes) -> None:
    """The name of the deployment's model, not the one the caller knows."""
    request = chat(messages=[{"role": "user", "content": "hi"}], reasoning_effort="low")
    worded = worded_for(replace(speaking(Dialect.MESSAGES), upstream_model=model), PROVIDER, request, plan())

    assert isinstance(worded, Request)
    assert said in bytes(worded.fields["thinking"])


@pytest.mark.parametrize(("host", "wants"), [("api.deepseek.com", True), ("api.openai.com", False)])
@pytest.mark.parametrize(("home", "asked"), [("another", CHAT), ("test", CHAT), ("test", MESSAGES)])
def test_calls_that_others_made_get_a_thought_where_one_is_wanted(
    host: str, wants: bool, home: str, asked: Grammar
) -> None:
    """T18: required reasoning field present. A caller that is at home has its request sent on as it is."""
    use = {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    said = {"content": [use]} if asked is MESSAGES else {"tool_calls": calls}
    body = {"model": "small", "max_tokens": 9, "messages": [{"role": "assistant", **said}]}
    request = read_request(asked, json.dumps(body).encode())
    assert isinstance(request, Request)
    at = replace(PROVIDER, kind=ProviderKind.OPENAI_COMPATIBLE, base_url=f"https://{host}/v1")
    there = replace(speaking(Dialect.CHAT), provider=ProviderId("test"))
    worded = worded_for(there, at, request, plan(home=home))

    assert isinstance(worded, Request)
    due = wants and (home == "another" or asked is MESSAGES)
    assert due == (b"reasoning_content" in bytes(worded.fields["messages"]))
