"""Each inference route is described as its dialect is written."""

import pytest

from router.domain.dialects.dialect import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.dialects.translators import GRAMMARS
from router.facades.http.openapi import body_of, path_item


def schema_of(grammar: Grammar) -> dict[str, dict[str, object]]:
    return body_of(grammar)["content"]["application/json"]["schema"]  # type: ignore[index,no-any-return]


@pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=lambda grammar: grammar.dialect)
def test_every_dialect_has_words_of_its_own(grammar: Grammar) -> None:
    post = path_item(grammar)["post"]
    assert isinstance(post, dict)

    assert 1 == [path_item(other)["post"]["summary"] for other in GRAMMARS.values()].count(post["summary"])  # type: ignore[index]
    assert grammar.streams == ("text/event-stream" in post["responses"]["200"]["content"])
    assert post["requestBody"] == body_of(grammar)


def test_a_request_names_what_it_must_hold_and_lets_all_else_pass() -> None:
    assert ["model", "messages"] == schema_of(MESSAGES)["required"]
    assert ["model"] == schema_of(RESPONSES)["required"]
    assert {"stream_options"} == set(schema_of(CHAT)["properties"]) - set(schema_of(MESSAGES)["properties"])
    assert "stream" not in schema_of(EMBEDDINGS)["properties"]
    assert all(schema_of(grammar)["additionalProperties"] for grammar in GRAMMARS.values())


def test_a_content_that_may_be_a_text_says_so() -> None:
    assert {"type": "array", "items": {"type": "object"}} == schema_of(CHAT)["properties"]["messages"]
    assert ["string", "array"] == schema_of(EMBEDDINGS)["properties"]["input"]["type"]  # type: ignore[index]
