"""Who signed what: learned from replies, asked at a later turn."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.dialects.authors import SIGNATURE_CHARS_MIN, Authors, is_signed
from router.domain.dialects.scoped import for_another_provider
from router.domain.ids import ProviderId
from tests.support.asked import asked

A, B = ProviderId("a"), ProviderId("b")
SIGNED = "RXE4QkNrWUlCUkFC"


def text(value: object) -> bytes:
    return json.dumps(value).encode()


def learned(*said: tuple[ProviderId, object], signatures_max: int = 100) -> Authors:
    authors = Authors(signatures_max)
    for provider, value in said:
        authors.learn(text(value), provider)
    return authors


@pytest.mark.parametrize(
    ("said", "sent_back"),
    [
        (
            {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": SIGNED}},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": SIGNED}]},
        ),
        (
            {"content_block": {"type": "redacted_thinking", "data": SIGNED}},
            {"role": "assistant", "content": [{"type": "redacted_thinking", "data": SIGNED}]},
        ),
        (
            {"choices": [{"delta": {"reasoning_details": [{"type": "reasoning.encrypted", "data": SIGNED}]}}]},
            {"role": "assistant", "reasoning_details": [{"type": "reasoning.encrypted", "data": SIGNED}]},
        ),
        (
            {"choices": [{"delta": {"tool_calls": [{"extra_content": {"google": {"thought_signature": SIGNED}}}]}}]},
            {"role": "assistant", "tool_calls": [{"extra_content": {"google": {"thought_signature": SIGNED}}}]},
        ),
        (
            {"type": "response.output_item.done", "item": {"type": "reasoning", "encrypted_content": SIGNED}},
            {"type": "reasoning", "encrypted_content": SIGNED, "summary": []},
        ),
    ],
)
def test_what_a_provider_signed_is_known_when_it_comes_back(said: object, sent_back: object) -> None:
    authors = learned((A, said))

    assert authors.wrote(A, text(sent_back)) is True
    assert authors.wrote(B, text(sent_back)) is False
    assert (authors.others_than(A), authors.others_than(B)) == (False, True)


def test_it_is_known_however_its_characters_are_escaped() -> None:
    authors = Authors()
    authors.learn(rb'{"signature" : "RXE4QkNr\/UlC\u003dUkFC"}', A)

    assert authors.wrote(A, b'{"signature":"RXE4QkNr/UlC=UkFC"}') is True


@pytest.mark.parametrize(
    "said",
    [
        {"signature": "x" * (SIGNATURE_CHARS_MIN - 1)},
        {"content": f'"signature": "{SIGNED}"'},
        {"type": "image", "data": SIGNED},
        {"signature": {"x": SIGNED}},
        {"signature": None, "x": SIGNED},
        ["signature", SIGNED],
    ],
)
def test_nothing_else_is_a_signature(said: object) -> None:
    assert 0 == len(learned((A, said)))


@pytest.mark.parametrize(
    "cut", [b'{"signature":"RXE4QkNrWUlCUkFC', b'{"signature":', b'"signature"', b'\\"signature":"\\']
)
def test_what_breaks_off_is_no_signature(cut: bytes) -> None:
    authors = Authors()
    authors.learn(cut, A)

    assert 0 == len(authors)


def test_data_is_a_signature_only_beside_hidden_thoughts() -> None:
    assert 1 == len(learned((A, [{"signature": SIGNED}, {"type": "base64", "data": SIGNED[::-1]}])))


def test_an_escape_that_is_none_is_taken_as_it_came() -> None:
    authors = Authors()
    authors.learn(rb'{"signature":"RXE4QkNrWUlCUkFC\q"}', A)

    assert authors.wrote(A, rb'{"signature":"RXE4QkNrWUlCUkFC\q"}') is True


def test_a_message_with_thoughts_of_two_is_nobodys() -> None:
    signed = [{"signature": one * SIGNATURE_CHARS_MIN} for one in "ab"]
    authors = learned((A, signed[0]), (B, signed[1]))

    assert authors.wrote(A, text(signed)) is False
    assert authors.wrote(B, text(signed)) is False


def test_what_nobody_is_known_to_have_signed_has_no_author() -> None:
    assert learned((B, {"signature": SIGNED})).wrote(A, text({"signature": SIGNED[::-1]})) is None


def test_what_was_silent_for_longest_is_forgotten_first() -> None:
    first, second, third = ({"signature": one * SIGNATURE_CHARS_MIN} for one in "123")
    authors = learned((A, first), (B, second), signatures_max=2)
    authors.wrote(B, text(first))  # somebody sent it again
    authors.learn(text(third), A)

    assert [True, None, True] == [authors.wrote(A, text(one)) for one in (first, second, third)]
    assert 2 == len(authors)
    assert not authors.others_than(A)


def test_who_said_it_last_is_its_author() -> None:
    authors = learned((A, {"signature": SIGNED}), (B, {"signature": SIGNED}))

    assert authors.wrote(B, text({"signature": SIGNED})) is True
    assert (authors.others_than(A), authors.others_than(B)) == (True, False)


def test_a_text_without_a_mark_is_not_signed() -> None:
    assert not is_signed(text([{"role": "user", "content": 'a "signature" of "data"'}]))


AUTHORS = st.sampled_from([A, B, ProviderId("c"), None])


@given(st.lists(st.tuples(AUTHORS, st.integers(0, 999)), max_size=12), st.sampled_from([A, B]), st.booleans())
def test_a_provider_gets_its_own_thoughts_and_never_anothers(
    turns: Sequence[tuple[ProviderId | None, int]], to: ProviderId, unknown: bool
) -> None:
    """However many providers a conversation was at, in whatever order; texts stay, and so does what is before them."""
    authors = Authors()
    history: list[dict[str, object]] = []
    expected: list[dict[str, object]] = []
    for at, (by, number) in enumerate(turns):
        signature = f"{by}-{number}-{'x' * SIGNATURE_CHARS_MIN}"
        if by is not None:
            authors.learn(text({"type": "signature_delta", "signature": signature}), by)
        said: dict[str, object] = {"type": "text", "text": f"{at}"}
        thought: dict[str, object] = {"type": "thinking", "thinking": "t", "signature": signature}
        ask: dict[str, object] = {"role": "user", "content": f'"signature" {at}'}
        stays = unknown if by is None else by == to
        history += [ask, {"role": "assistant", "content": [thought, said]}]
        expected += [ask, {"role": "assistant", "content": [thought, said] if stays else [said]}]

    def knows(message: bytes) -> bool:
        wrote = authors.wrote(to, message)
        return unknown if wrote is None else wrote

    request = asked({"messages": Raw(text(history))})
    sent = for_another_provider(request, knows)

    assert expected == json.loads(bytes(sent.fields["messages"]))
    assert (sent is request) == (expected == history)
