"""A conversation's opening is found without reading what follows, whoever wrote the messages and however."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.planning import opening
from router.domain.planning.opening import HEAD_BYTES, TRIES_MAX, opening_of

COMPACT, SPACED = (",", ":"), (", ", ": ")
HELLO = {"role": "user", "content": "Hello"}
REPLY = {"role": "assistant", "content": "Hello."}

tricky = st.sampled_from(["", "},{", '},{"', '{"role":"user"', '"role": "assistant"', "}]", "\\", "ü", '"}, {"'])
text = st.lists(st.one_of(tricky, st.text(max_size=5)), max_size=4).map("".join)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": text}), max_size=4)
content = st.one_of(text, st.none(), parts)
message = st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), content, st.booleans()).map(
    lambda of: {"content": of[1], "role": of[0]} if of[2] and of[0] != "user" else {"role": of[0], "content": of[1]}
)


def written(messages: object, separators: tuple[str, str] = COMPACT) -> Raw:
    return Raw(json.dumps(messages, separators=separators).encode())


@given(st.lists(message, max_size=6), st.sampled_from([COMPACT, SPACED]))
def test_what_is_found_is_what_reading_all_of_it_finds(messages: list[object], separators: tuple[str, str]) -> None:
    raw = written(messages, separators)
    found, read = opening_of(raw), opening._read(bytes(raw))

    if read is None or found is None:
        assert found == read
    else:
        assert found[0].replace(b"}, {", b"},{") == read[0].replace(b"}, {", b"},{")
        assert found[1] == read[1]


@given(st.lists(message, max_size=3), content, st.lists(message, max_size=4), st.sampled_from([COMPACT, SPACED]))
def test_every_turn_has_the_opening_of_the_first(
    before: list[dict[str, object]], asked: object, after: list[object], separators: tuple[str, str]
) -> None:
    first = [one for one in before if one["role"] != "user"] + [{"role": "user", "content": asked}]
    opened = opening_of(written(first, separators))
    turn = opening_of(written([*first, REPLY, *after], separators))

    assert opened is not None
    assert (opened[0], True) == turn
    assert not opened[1]


@given(st.lists(message, max_size=6), st.sampled_from([COMPACT, SPACED]), st.integers(0, 400))
def test_how_much_is_looked_at_first_changes_nothing(
    messages: list[object], separators: tuple[str, str], head: int
) -> None:
    raw = written(messages, separators)
    with pytest.MonkeyPatch.context() as patch:
        found = opening_of(raw)
        patch.setattr(opening, "HEAD_BYTES", head)

        assert found == opening_of(raw)


@pytest.mark.parametrize("separators", [COMPACT, SPACED])
def test_what_a_message_says_beside_its_text_is_of_the_opening(separators: tuple[str, str]) -> None:
    named = HELLO | {"name": "b"}

    assert (bytes(written(named, separators)), True) == opening_of(written([named, REPLY], separators))


@pytest.mark.parametrize("size", [10, HEAD_BYTES - 40, HEAD_BYTES, 3 * HEAD_BYTES])
def test_the_opening_of_a_long_conversation_is_that_of_its_first_turn(size: int) -> None:
    asked = {"role": "user", "content": "a" * size}

    assert (bytes(written(asked)), True) == opening_of(written([asked, *[REPLY, HELLO] * HEAD_BYTES]))
    assert (bytes(written(asked)), False) == opening_of(written([asked]))


def test_what_follows_the_opening_is_not_read() -> None:
    raw = Raw(bytes(written([HELLO, REPLY]))[:-1] + b',{"role":7')

    assert opening._read(bytes(raw)) is None
    assert (bytes(written(HELLO)), True) == opening_of(raw)


@pytest.mark.parametrize("parts", [TRIES_MAX - 1, TRIES_MAX, TRIES_MAX + 1, 100])
def test_a_message_of_many_parts_ends_where_it_does_in_every_turn(parts: int) -> None:
    many = {"role": "user", "content": [{"type": "text", "text": "a"}] * parts}

    assert opening_of(written([many])) == (bytes(written(many)), False)
    assert opening_of(written([many, REPLY, HELLO])) == (bytes(written(many)), True)


@pytest.mark.parametrize(
    "raw",
    [
        b'[ {"role":"user"} , {"role":"assistant"} ]',
        b'[{"content":"a","role":"user"},{"content":"b","role":"assistant"}]',
        b'[{"role" :"user"},{"role" :"assistant"}]',
        b'[{"role":"user"},\n{"role" : "assistant"}]',
        b'[{"role": "user"},{"role": "assistant"}]',
        b'[{"role":"user"},{"role" : "assistant"}]',
    ],
)
def test_messages_in_an_unusual_hand_are_read_one_by_one(raw: bytes) -> None:
    found = opening_of(Raw(raw))

    assert found is not None
    assert found[1]
    assert found == opening._read(raw)


@pytest.mark.parametrize(
    "raw", [b"[]", b"[1]", b"[", b"", b'[{"role":7}]', b'[{"role":"system"}]', b"[" * 99_999, b'{"role":"user"}', b"{}"]
)
def test_without_a_user_there_is_none(raw: bytes) -> None:
    assert opening_of(Raw(raw)) is None
