import json

import pytest
from msgspec.structs import replace

from router.domain.dialects.dialect import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.dialects.request import Request, read_request
from router.domain.planning.needs import Needs, needs_of


def request(**fields: object) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": "x" * 380}], **fields}
    found = read_request(CHAT, json.dumps(body, separators=(",", ":")).encode())
    assert isinstance(found, Request)
    return found


def message(*types: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": type_} for type_ in types]}]


@pytest.mark.parametrize(
    ("fields", "capabilities"),
    [
        ({}, set()),
        ({"tools": [{"type": "function"}]}, {"tools"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"tools": [], "functions": None}, set()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set()),
        ({"messages": message("text", "image_url", "input_audio", "file")}, {"vision", "audio_input", "pdf_input"}),
        ({"messages": [{"role": "user", "content": 'what is "image_url" in this file?'}]}, set()),
    ],
)
def test_a_request_asks_for_what_it_holds(fields: dict[str, object], capabilities: set[str]) -> None:
    assert capabilities == needs_of(request(**fields)).capabilities


def test_the_tokens_are_an_estimate_of_the_input_and_what_the_reply_may_have() -> None:
    assert 103 == needs_of(request()).tokens
    assert 103 + 50 * 2 == needs_of(request(max_tokens=50, n=2)).tokens
    assert 103 + 5 == needs_of(request(tools=["x" * 16])).tokens


def test_only_the_capabilities_that_matter_are_looked_for() -> None:
    asks = request(tools=[{"type": "function"}], messages=message("image_url"))

    assert {"tools", "vision"} == needs_of(asks).capabilities
    assert {"vision"} == needs_of(asks, frozenset({"vision", "pdf_input"})).capabilities
    assert needs_of(asks, frozenset()) == replace(needs_of(asks), capabilities=frozenset())


def of(grammar: Grammar, **fields: object) -> Needs:
    found = read_request(grammar, json.dumps({"model": "m", **fields}).encode())
    assert isinstance(found, Request)
    return needs_of(found)


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}


@pytest.mark.parametrize(
    ("grammar", "fields", "capabilities"),
    [
        (MESSAGES, {"messages": [{"role": "user", "content": [IMAGE]}]}, {"vision"}),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, {"pdf_input"}),
        (MESSAGES, {"messages": [], "tools": [{"name": "f"}]}, {"tools"}),
        (MESSAGES, {"messages": [], "output_config": {"format": {"type": "json_schema"}}}, {"json_schema"}),
        (RESPONSES, {"input": "x", "text": {"format": {"type": "json_schema"}}}, {"json_schema"}),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, {"vision"}),
        (EMBEDDINGS, {"input": "an image"}, set()),
    ],
)
def test_a_request_asks_for_what_it_holds_in_every_dialect(
    grammar: Grammar, fields: dict[str, object], capabilities: set[str]
) -> None:
    found = of(grammar, **fields)

    assert (grammar.dialect, capabilities) == (found.dialect, found.capabilities)


def test_a_batch_need_not_fit_in_one_window() -> None:
    batch = of(EMBEDDINGS, input=["x" * 4_000] * 100)

    assert (0, None) == (batch.tokens, batch.output_tokens or None)
    assert batch.input_tokens > 100_000
