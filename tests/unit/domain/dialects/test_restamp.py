"""The caller's name for a model stands where its dialect names the model, and nothing else changes."""

import json

import pytest

from router.domain.dialects.dialect import Dialect
from router.domain.dialects.restamp import restamp
from router.domain.stream import Event, EventKind


def test_restamping_puts_the_callers_name_into_a_chunk_and_changes_nothing_else() -> None:
    event = Event(EventKind.CHUNK, b'data: {"id":"1","model":"gpt-5-2026","choices":[ ]}\n\n')

    assert b'data: {"id":"1","model":"small","choices":[ ]}\n\n' == restamp(Dialect.CHAT, event, "small").raw


def test_restamping_leaves_what_has_no_model_alone() -> None:
    event = Event(EventKind.COMPLETE, b'{"id":"1"}')

    assert event == restamp(Dialect.CHAT, event, "small")


@pytest.mark.parametrize(
    ("dialect", "within", "name"),
    [(Dialect.MESSAGES, "message", "message_start"), (Dialect.RESPONSES, "response", "response.created")],
)
def test_named_events_are_restamped_where_they_hold_the_whole(dialect: Dialect, within: str, name: str) -> None:
    raw = f'event: {name}\ndata: {{"type":"{name}","{within}":{{"id":"1","model":"up"}}}}\n\n'.encode()
    event = restamp(dialect, Event(EventKind.CHUNK, raw), "small")

    head, _, data = event.raw.partition(b"\ndata: ")
    assert f"event: {name}".encode() == head
    assert {"type": name, within: {"id": "1", "model": "small"}} == json.loads(data)


def test_events_that_name_no_model_are_the_same_bytes() -> None:
    raw = b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"\\"model\\""}}\n\n'

    assert raw == restamp(Dialect.MESSAGES, Event(EventKind.CHUNK, raw), "small").raw


def test_bytes_are_nobodys_text_whatever_they_look_like() -> None:
    piece = Event(EventKind.BYTES, b'data: {"model":"up"}\n\n')

    assert piece is restamp(Dialect.AUDIO, piece, "small")
