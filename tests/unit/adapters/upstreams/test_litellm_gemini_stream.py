"""What is kept of Gemini's events while they pass, however the network cuts them."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from tests.support import gemini_cases as cases
from tests.support.litellm_calls import real
from tests.support.provider_wires import gemini_event

if TYPE_CHECKING:
    from router.adapters.upstreams.litellm_gemini_stream import GeminiStream

pytestmark = pytest.mark.slow


class Pieces:
    """An exchange whose reply comes in these."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = [*pieces]

    async def read(self, _reply: object) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


async def stream_of(*pieces: bytes) -> "GeminiStream":
    await real().get()
    from router.adapters.upstreams.litellm_gemini_stream import GeminiStream, Unlogged

    return GeminiStream(Pieces(pieces), None, headers={}, model="m", log=Unlogged({}))  # type: ignore[arg-type]


async def read(stream: "GeminiStream") -> list[dict[str, object]]:
    said = [chunk.model_dump(mode="json", exclude_none=True) for chunk in [one async for one in stream]]
    return [{name: value for name, value in one.items() if name not in ("id", "created")} for one in said]


WORDS = b"".join(gemini_event(event) for event in cases.STREAMS["words counted each"])


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_how_the_bytes_are_cut_does_not_matter(size: int) -> None:
    pieces = [WORDS[at : at + size] for at in range(0, len(WORDS), size)]

    assert await read(await stream_of(WORDS)) == await read(await stream_of(*pieces))


async def test_the_last_event_may_lack_its_blank_line() -> None:
    assert await read(await stream_of(WORDS)) == await read(await stream_of(WORDS.rstrip()))


async def test_an_event_may_be_written_over_many_lines() -> None:
    pretty = [json.dumps(event, indent=1).replace("\n", "\ndata: ") for event in cases.STREAMS["words counted each"]]
    spread = "".join(f": a comment\n\nevent: x\ndata: {event}\n\n" for event in pretty).encode()

    assert await read(await stream_of(WORDS)) == await read(await stream_of(spread))


async def test_a_separator_of_lines_within_a_text_is_of_the_text() -> None:
    """litellm's own way of reading lines breaks there."""
    event = {"candidates": [{"content": {"parts": [{"text": "a\u2028b\x85c"}]}}]}
    first, *_ = await read(await stream_of(f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()))

    assert [{"index": 0, "delta": {"content": "a\u2028b\x85c", "role": "assistant"}}] == first["choices"]


async def test_of_counts_the_last_are_kept_not_all() -> None:
    events = [gemini_event(cases.COUNTED)] * 500 + [gemini_event(cases.END)]
    stream = await stream_of(*events)
    said = await read(stream)

    assert 502 == len(said)
    assert 2 == len(stream.chunks)
    assert 57 == said[-1]["usage"]["completion_tokens"] - 3  # type: ignore[index]
