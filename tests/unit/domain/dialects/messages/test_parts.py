import base64
import json

import pytest
from msgspec import Raw

from router.domain.dialects.losses import Losses, Unsayable
from router.domain.dialects.messages.parts import part_from_chat, part_to_chat
from tests.support.messages_streams import Json, fields_of

CACHED = {"cache_control": {"type": "ephemeral"}}
PNG = "iVBORw0KGgo/+="
PDF = "JVBERi0xLjQK"
PLAIN = base64.b64encode("Grüße\n".encode()).decode()

BOTH: list[tuple[Json, Json]] = [
    ({"type": "text", "text": "hé"}, {"type": "text", "text": "hé"}),
    ({"type": "text", "text": "x", **CACHED}, {"type": "text", "text": "x", **CACHED}),
    (
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}, **CACHED},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, **CACHED},
    ),
    (
        {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
    ),
    (
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}, **CACHED},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "a.pdf",
            **CACHED,
        },
    ),
    (
        {"type": "file", "file": {"file_data": f"data:text/plain;base64,{PLAIN}"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße\n"}},
    ),
]


def from_chat(part: Json, losses: Losses | None = None) -> Json | None:
    block = part_from_chat(fields_of(part), "p", losses or Losses(dialect="the other", drop=False))
    return None if block is None else {name: json.loads(bytes(raw)) for name, raw in block.items()}


def to_chat(block: Json, losses: Losses | None = None) -> Json | None:
    part = part_to_chat(fields_of(block), "p", losses or Losses(dialect="the other", drop=False, extended=True))
    return None if part is None else {name: json.loads(bytes(raw)) for name, raw in part.items()}


@pytest.mark.parametrize(("part", "block"), BOTH)
def test_a_part_is_the_same_in_both_dialects(part: Json, block: Json) -> None:
    assert block == from_chat(part)
    assert part == to_chat(block)


def test_a_text_keeps_its_bytes() -> None:
    fields = {"type": Raw(b'"text"'), "text": Raw(b'"\\u00e9\\/\\ud83d\\ude00"')}

    assert (
        fields
        == part_from_chat(fields, "p", Losses(dialect="the other", drop=False))
        == part_to_chat(fields, "p", Losses(dialect="the other", drop=False))
    )


@pytest.mark.parametrize(
    ("part", "block"),
    [
        ({"type": "refusal", "refusal": "No."}, {"type": "text", "text": "No."}),
        ({"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}, {"type": "text", "text": "x"}),
        (
            {"type": "image_url", "image_url": "data:image/gif;charset=x;base64,R0"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://a/b", "detail": "high"}},
            {"type": "image", "source": {"type": "url", "url": "http://a/b"}},
        ),
        (
            {"type": "file", "file": {"file_data": PDF, "filename": None}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://example.com/a.pdf", "filename": "a"}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}, "title": "a"},
        ),
    ],
)
def test_other_spellings_of_chat_are_understood(part: Json, block: Json) -> None:
    assert block == from_chat(part)


@pytest.mark.parametrize("part", [{"type": "text", "text": ""}, {"type": "refusal", "refusal": ""}])
def test_empty_texts_are_left_out(part: Json) -> None:
    assert from_chat(part) is None


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}, "p.type"),
        ({"type": "text", "text": "x", "future": 1}, "p.future"),
        ({"type": "image_url", "image_url": {"url": "http://a", "detail": "low"}}, "p.image_url.detail"),
        ({"type": "image_url", "image_url": {"url": "gs://a/b"}}, "p.image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}, "p.image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64"}}, "p.image_url.url"),
        ({"type": "file", "file": {"file_id": "file-123"}}, "p.file.file_id"),
        ({"type": "file", "file": {"file_id": "data:application/pdf;base64,JV"}}, "p.file.file_id"),
        ({"type": "file", "file": {"file_data": "https://a/b.pdf"}}, "p.file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/csv;base64,YQ=="}}, "p.file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,*"}}, "p.file.file_data"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}}, "p.file.file_data"),
    ],
)
def test_what_messages_cannot_show_is_named(part: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        from_chat(part)
    losses = Losses(dialect="the other", drop=True)
    kept = from_chat(part, losses)

    assert param == caught.value.param
    assert (param,) == losses.names
    assert (kept is not None) == (param in ("p.future", "p.image_url.detail"))


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "search_result", "source": "x"}, "p.type"),
        ({"type": "server_tool_use", "id": "s"}, "p.type"),
        ({"type": "container_upload", "file_id": "f"}, "p.type"),
        ({"type": "text", "text": "x", "citations": [{"type": "char_location"}]}, "p.citations"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "p.source.type"),
        ({"type": "document", "source": {"type": "url", "url": "https://a"}}, "p.source.type"),
        ({"type": "document", "source": {"type": "content", "content": []}}, "p.source.type"),
        ({"type": "document", "source": {"type": "text", "data": "x"}, "context": "c"}, "p.context"),
        ({"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}}, "p.citations"),
    ],
)
def test_what_chat_cannot_show_is_named(block: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        to_chat(block)
    losses = Losses(dialect="the other", drop=True)
    kept = to_chat(block, losses)

    assert param == caught.value.param
    assert (param,) == losses.names
    assert (kept is None) == param.endswith("type")


@pytest.mark.parametrize("citations", [None, [], {"enabled": False}])
def test_citations_that_nobody_wants_are_no_loss(citations: object) -> None:
    assert {"type": "text", "text": "x"} == to_chat({"type": "text", "text": "x", "citations": citations})


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"text": "x"}, "p.type"),
        ({"type": "text"}, "p.text"),
        ({"type": "text", "text": 1}, "p.text"),
        ({"type": "image_url"}, "p.image_url"),
        ({"type": "image_url", "image_url": {}}, "p.image_url.url"),
        ({"type": "file"}, "p.file"),
        ({"type": "file", "file": {}}, "p.file.file_id"),
    ],
)
def test_a_part_that_is_no_part_is_named_even_where_losses_are_fine(part: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        from_chat(part, Losses(dialect="the other", drop=True))

    assert param == caught.value.param


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ({"type": "image"}, "p.source"),
        ({"type": "image", "source": {"type": "base64", "data": "x"}}, "p.source.media_type"),
        ({"type": "document", "source": {"type": "text"}}, "p.source.data"),
        ({"type": "document", "source": {}}, "p.source.type"),
    ],
)
def test_a_block_that_is_no_block_is_named_even_where_losses_are_fine(block: Json, param: str) -> None:
    with pytest.raises(Unsayable) as caught:
        to_chat(block, Losses(dialect="the other", drop=True))

    assert param == caught.value.param
