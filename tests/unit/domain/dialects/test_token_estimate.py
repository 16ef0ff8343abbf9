"""An estimate of a message is near for text, and does not take the bytes of an image for words."""

import json

import msgspec
import pytest

from router.domain.dialects.dialect import MESSAGES
from router.domain.dialects.request import Request, read_request
from router.domain.dialects.token_estimate import DOCUMENT_BYTES_PER_TOKEN, IMAGE_TOKENS, estimate_input

DATA = "A" * 400_000


def estimated(content: object, **fields: object) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
    found = read_request(MESSAGES, json.dumps(body).encode())
    assert isinstance(found, Request)
    return estimate_input(found)


def part(kind: str, source: object) -> dict[str, object]:
    return {"type": kind, "source": source}


def base64(data: object = DATA) -> dict[str, object]:
    return {"type": "base64", "media_type": "image/png", "data": data}


def test_text_tools_and_the_system_prompt_count_and_settings_do_not() -> None:
    alone = estimated("x" * 4_000)

    assert 1_000 < alone < 1_020
    assert alone == estimated("x" * 4_000, max_tokens=1_000_000, metadata={"user_id": "u" * 1_000})
    assert 2_000 < estimated("x" * 4_000, system="y" * 4_000) < 2_030
    assert 3_000 < estimated("x" * 4_000, system="y" * 4_000, tools=[{"name": "z" * 4_000}]) < 3_050


@pytest.mark.parametrize(
    "source", [base64(), {"type": "url", "url": "http://h/i.png"}, {"type": "file", "file_id": "f"}]
)
def test_an_image_counts_as_one_whatever_its_size(source: dict[str, object]) -> None:
    assert IMAGE_TOKENS < estimated([part("image", source), {"type": "text", "text": "hi"}]) < IMAGE_TOKENS + 60


def test_an_image_within_a_tools_answer_counts_too() -> None:
    answer = {"type": "tool_result", "tool_use_id": "t", "content": [part("image", base64())]}

    assert 2 * IMAGE_TOKENS < estimated([answer, part("image", base64())]) < 2 * IMAGE_TOKENS + 120


def test_a_document_counts_by_its_size() -> None:
    expected = len(DATA) // DOCUMENT_BYTES_PER_TOKEN

    assert expected < estimated([part("document", base64())]) < expected + 60


@pytest.mark.parametrize(
    "content", ['the "image" and "base64" in words', [part("image", base64(7))], [part("image", 7)]]
)
def test_whatever_comes_there_is_a_number(content: object) -> None:
    assert estimated(content) >= 1


def test_what_is_nested_too_deep_to_be_read_counts_as_text() -> None:
    """`read_request` refuses it too, at a depth that depends on who called whom."""
    found = read_request(MESSAGES, b'{"model":"m","messages":[]}')
    assert isinstance(found, Request)
    deep = b"[" * 20_000 + b"]" * 20_000
    nested = msgspec.structs.replace(found, fields={"messages": msgspec.Raw(b'[%b,{"type":"image"}]' % deep)})

    assert 10_000 < estimate_input(nested) < 10_100


def test_nothing_is_still_a_token() -> None:
    found = read_request(MESSAGES, b'{"model":"m","messages":[]}')

    assert isinstance(found, Request)
    assert 1 == estimate_input(found)
