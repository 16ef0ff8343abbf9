"""Each inference route is described as its dialect is written."""

import pytest

from router.domain.dialects.dialect import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.dialects.translators import GRAMMARS
from router.facades.http.openapi import body_of, path_item
from router.facades.http.voice import VOICES


def schema_of(grammar: Grammar) -> dict[str, dict[str, object]]:
    return body_of(grammar)["content"]["application/json"]["schema"]  # type: ignore[index,no-any-return]


@pytest.mark.parametrize("path", VOICES)
def test_every_route_has_words_of_its_own(path: str) -> None:
    grammar = VOICES[path].grammar
    post = path_item(path, grammar)["post"]
    assert isinstance(post, dict)
    summaries = [path_item(other, voice.grammar)["post"]["summary"] for other, voice in VOICES.items()]  # type: ignore[index]

    assert 1 == summaries.count(post["summary"])
    assert grammar.streams == ("text/event-stream" in post["responses"]["200"]["content"])
    assert post["requestBody"] == body_of(grammar)


def test_a_form_may_be_sent_where_files_are() -> None:
    kinds = {path: set(body_of(voice.grammar)["content"]) for path, voice in VOICES.items()}  # type: ignore[call-overload]

    assert {"application/json", "multipart/form-data"} == kinds["/audio/transcriptions"] == kinds["/images/edits"]
    assert {"application/json"} == kinds["/audio/speech"] == kinds["/chat/completions"]


def test_a_request_names_what_it_must_hold_and_lets_all_else_pass() -> None:
    assert ["model", "messages"] == schema_of(MESSAGES)["required"]
    assert ["model"] == schema_of(RESPONSES)["required"]
    assert {"stream_options"} == set(schema_of(CHAT)["properties"]) - set(schema_of(MESSAGES)["properties"])
    assert "stream" not in schema_of(EMBEDDINGS)["properties"]
    assert all(schema_of(grammar)["additionalProperties"] for grammar in GRAMMARS.values())


def test_a_content_that_may_be_a_text_says_so() -> None:
    assert {"type": "array", "items": {"type": "object"}} == schema_of(CHAT)["properties"]["messages"]
    assert ["string", "array"] == schema_of(EMBEDDINGS)["properties"]["input"]["type"]  # type: ignore[index]
