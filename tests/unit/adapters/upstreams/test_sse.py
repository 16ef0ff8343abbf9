"""The splitter: one form out, whatever form and pieces came in."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.adapters.upstreams import sse
from router.adapters.upstreams.sse import Malformed, SseSplitter
from router.domain.stream import END_EVENT, Event, EventKind


def split(*pieces: bytes) -> list[Event]:
    splitter = SseSplitter()
    return [event for piece in pieces for event in splitter.feed(piece)]


def chunk(raw: bytes) -> Event:
    return Event(EventKind.CHUNK, raw)


CORPUS = (
    (
        '\ufeffdata: {"a":"漢字かな"}\r\n\r\n'
        ": keep-alive\n\n"
        'event: message\nid: 7\nretry: 10\ndata:{"b":"👩‍👩‍👧‍👦"}\n\n'
        'data: {"c":\ndata:  "שלום"}\n\n'
        '\n\n:first\n:second\ndata: {"d":"a\u2028b\u2029\u0085"}\r\r'
        "data\n\ndata: \n\nunknown\n\n"
        'data: {"e":1}\n: inside\ndata: {"f":2}\r\n\n'
    ).encode()
    + b'data: {"g":"\xff\xfe\xc3("}\n\n'
    + b'data: [DONE]\n\ndata: {"late":1}\n\n: late\n\n'
)

SPLIT = [
    chunk('data: {"a":"漢字かな"}\n\n'.encode()),
    Event(EventKind.COMMENT, b": keep-alive\n\n"),
    chunk('data: {"b":"👩‍👩‍👧‍👦"}\n\n'.encode()),
    chunk('data: {"c":\ndata:  "שלום"}\n\n'.encode()),
    Event(EventKind.COMMENT, b": first\n\n"),
    Event(EventKind.COMMENT, b": second\n\n"),
    chunk('data: {"d":"a\u2028b\u2029\u0085"}\n\n'.encode()),
    Event(EventKind.COMMENT, b": inside\n\n"),
    chunk(b'data: {"e":1}\ndata: {"f":2}\n\n'),
    chunk(b'data: {"g":"\xff\xfe\xc3("}\n\n'),
    END_EVENT,
]


def test_every_form_becomes_the_one_form() -> None:
    assert SPLIT == split(CORPUS)


@pytest.mark.parametrize("at", range(len(CORPUS) + 1))
def test_the_result_does_not_depend_on_where_the_bytes_are_cut(at: int) -> None:
    assert SPLIT == split(CORPUS[:at], CORPUS[at:])


def test_the_result_is_the_same_byte_by_byte() -> None:
    assert SPLIT == split(*(CORPUS[at : at + 1] for at in range(len(CORPUS))))


LINES = st.sampled_from(
    [
        b"data: {}",
        b"data:x",
        b"data: ",
        b"data",
        b"data: [DONE]",
        b": c",
        b":",
        b"event: e",
        b"",
        b"\xef\xbb\xbf",
        b"\xff",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=20), st.lists(st.integers(0, 400), max_size=8))
def test_any_lines_in_any_pieces_give_the_same(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines)

    assert split(stream) == split(*pieces(stream, cuts))


def pieces(stream: bytes, cuts: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


def test_an_event_in_openai_form_is_not_even_copied() -> None:
    raw = b'data: {"id":"x"}\n\n'

    assert split(raw)[0].raw is raw


def test_an_event_is_given_out_as_soon_as_its_blank_line_is_there() -> None:
    splitter = SseSplitter()

    assert [] == splitter.feed(b"data: {}\r")
    assert [chunk(b"data: {}\n\n")] == splitter.feed(b"\r")
    assert [] == splitter.feed(b"\n")
    assert [chunk(b"data: {}\n\n")] == splitter.feed(b"data: {}\n\n")


def test_after_done_nothing_more_is_read() -> None:
    splitter = SseSplitter()

    assert [END_EVENT] == splitter.feed(b"data: [DONE]\n\ndata: {}\n\n")
    assert splitter.ended
    assert [] == splitter.feed(b"data: {}\n\n")


def test_an_event_at_the_bound_passes_and_one_byte_more_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 20)
    fits = b"data: {" + b"x" * 11 + b"\n\n"

    assert [chunk(fits)] == split(fits)
    for cut in range(1, 18):
        with pytest.raises(Malformed):
            split(fits[:cut], fits[cut:-2] + b"y\n\n")


def test_events_before_one_that_is_too_long_are_given_out_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 20)
    splitter = SseSplitter()

    assert [chunk(b"data: {}\n\n")] == splitter.feed(b"data: {}\n\ndata: {" + b"x" * 30)
    with pytest.raises(Malformed, match="more than 20 bytes"):
        splitter.feed(b"")
    with pytest.raises(Malformed):
        splitter.check()


def test_no_byte_is_searched_twice() -> None:
    """Quadratic work would take minutes here; what is asserted is that the event survives its million pieces."""
    event = b"data: {" + b"x" * 1_000_000 + b"}\n\n"

    assert [chunk(event)] == split(*(event[at : at + 1] for at in range(len(event))))


NAMED = (
    b'event: message_start\ndata: {"type":"message_start"}\n\n'
    b": keep-alive\n\n"
    b"event:ping\r\ndata:{}\r\n\r\n"
    b'id: 7\ndata: {"a":1}\nevent: content_block_delta\n\n'
    b'data: {"nameless":1}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    b'event: late\ndata: {"late":1}\n\n'
)
NAMED_SPLIT = [
    chunk(b'event: message_start\ndata: {"type":"message_start"}\n\n'),
    Event(EventKind.COMMENT, b": keep-alive\n\n"),
    chunk(b"event: ping\ndata: {}\n\n"),
    chunk(b'event: content_block_delta\ndata: {"a":1}\n\n'),
    chunk(b'data: {"nameless":1}\n\n'),
    chunk(b'event: message_stop\ndata: {"type":"message_stop"}\n\n'),
    END_EVENT,
]


@pytest.mark.parametrize("at", range(len(NAMED) + 1))
def test_where_names_mean_something_they_stay_and_one_of_them_is_the_end(at: int) -> None:
    splitter = SseSplitter(named_events=True)

    assert NAMED_SPLIT == [*splitter.feed(NAMED[:at]), *splitter.feed(NAMED[at:])]


@pytest.mark.parametrize("name", ["response.completed", "response.incomplete"])
def test_a_response_ends_with_its_last_event(name: str) -> None:
    raw = f'event: {name}\ndata: {{"type":"{name}"}}\n\n'.encode()

    assert [chunk(raw), END_EVENT] == SseSplitter(named_events=True).feed(raw)


NAME_LINES = [
    "e",
    "e:f",
    " e",
    "",
    "message_stop",
    "response.completed",
    "e\nevent: f",
    "e\nid: 7",
    "e\ndata: {}",
    "e\n: c",
]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("name", NAME_LINES)
def test_an_event_that_has_our_form_is_what_it_would_be_made_from_any_other(name: str, named: bool) -> None:
    ours = f'event: {name}\ndata: {{"a":1}}\n\n'.encode()
    other = f'event: {name}\nretry: 1\ndata:{{"a":1}}\n\n'.encode()
    splitter, alone = SseSplitter(named_events=named), SseSplitter(named_events=named)
    alone.feed(b"data: {}\n\n")

    expected = SseSplitter(named_events=named).feed(other)

    assert expected == splitter.feed(ours) == alone.feed(ours)


def test_a_named_event_in_our_form_is_not_even_copied() -> None:
    splitter = SseSplitter(named_events=True)
    raw = b"event: e\ndata: {}\n\n"
    splitter.feed(raw)

    assert splitter.feed(raw)[0].raw is raw


def test_a_named_event_that_is_too_long_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 20)
    splitter = SseSplitter(named_events=True)
    splitter.feed(b"event: e\ndata: {}\n\n")

    with pytest.raises(Malformed):
        splitter.feed(b"event: e\ndata: {   }\n\n")
