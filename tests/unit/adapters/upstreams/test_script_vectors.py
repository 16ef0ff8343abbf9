"""The scripted embeddings: unit vectors, the same for the same text, however they are asked for."""

import base64
import json
import math
from array import array
from typing import Any

import pytest

from router.adapters.upstreams.script_vectors import DIMENSIONS_DEFAULT, NUMBERS_MAX, VectorAnswer


def answer(**members: object) -> dict[str, Any]:
    body = json.dumps({"model": "m", "input": "two words", **members}).encode()
    reply: dict[str, Any] = json.loads(VectorAnswer(body).whole())
    return reply


def vectors(**members: object) -> list[list[float]]:
    return [one["embedding"] for one in answer(**members)["data"]]


def test_a_text_becomes_a_unit_vector() -> None:
    reply = answer()
    (one,) = reply["data"]

    assert ("list", "m", "embedding", 0) == (reply["object"], reply["model"], one["object"], one["index"])
    assert DIMENSIONS_DEFAULT == len(one["embedding"])
    assert 1.0 == pytest.approx(math.hypot(*one["embedding"]))
    assert {"prompt_tokens": 2, "total_tokens": 2} == reply["usage"]


def test_equal_texts_have_equal_vectors_and_others_point_elsewhere() -> None:
    one, other, again = vectors(input=["a", "b", "a"])

    assert one == again == vectors(input="a")[0]
    assert abs(sum(x * y for x, y in zip(one, other, strict=True))) < 0.5


def test_a_vector_points_to_both_sides() -> None:
    (vector,) = vectors()

    assert min(vector) < -0.05 < 0.05 < max(vector)


def test_base64_says_the_same_numbers() -> None:
    (text,) = vectors(encoding_format="base64")
    numbers = array("f")
    numbers.frombytes(base64.b64decode(text))  # type: ignore[arg-type]  # a text here

    assert vectors()[0] == numbers.tolist()


@pytest.mark.parametrize(
    ("asked", "same"), [([7, 8], ["7 8"]), ([[7, 8], [9]], ["7 8", "9"]), (["a", [9]], ["a", "9"])]
)
def test_tokens_are_a_text_of_their_numbers(asked: object, same: list[str]) -> None:
    assert vectors(input=same) == vectors(input=asked)


def test_a_caller_may_choose_how_many_dimensions() -> None:
    (vector,) = vectors(dimensions=1_536)

    assert (1_536, 1.0) == (len(vector), pytest.approx(math.hypot(*vector)))


@pytest.mark.parametrize(
    "members",
    [
        {"dimensions": 0},
        {"dimensions": NUMBERS_MAX + 1},
        {"input": ["a", "b"], "dimensions": NUMBERS_MAX // 2 + 1},
        {"encoding_format": "int8"},
        {"input": []},
        {"input": ["a", 1]},
        {"input": {}},
    ],
)
def test_what_is_no_request_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        answer(**members)


def test_half_a_surrogate_pair_is_a_text_too_or_no_json() -> None:
    with pytest.raises(ValueError):
        VectorAnswer(b'{"input":"\\ud800"}')


def test_it_has_no_stream() -> None:
    reply = VectorAnswer(b'{"input":"a"}')

    assert (0, []) == (reply.tokens, list(reply.steps()))
