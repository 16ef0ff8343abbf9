"""Only a long recording whose call is settled before its file is passed on while it comes."""

import httpx
import pytest

from router.domain.dialects.arriving_form import Opening, Sight
from router.domain.dialects.dialect import Grammar
from router.domain.dialects.form import LARGE_BYTES_MIN
from router.domain.dialects.metered import EDITS, TRANSCRIPTIONS, TRANSLATIONS, read_arriving
from router.domain.dialects.request import Request
from router.domain.faults import Fault, Refusal
from router.domain.stream import ReplyMode
from router.facades.http import metered_body
from router.facades.http.inbound import Inbound
from router.facades.http.metered_body import receive_metered
from router.pipeline.upload import Upload
from tests.support.forms import CONTENT_TYPE, Part, form

MODEL: Part = ("model", "m")
LARGE = bytes(LARGE_BYTES_MIN)


class Coming:
    """An inbound whose body comes in pieces."""

    def __init__(self, body: bytes, *, step: int = 100_000, says_length: bool = True) -> None:
        self.rest = body
        self.step = step
        self.coming_bytes = len(body) if says_length else 0

    async def piece(self) -> bytes:
        piece, self.rest = self.rest[: self.step], self.rest[self.step :]
        self.coming_bytes -= len(piece)
        return piece

    async def body(self, *, max_bytes: int, begun: bytes = b"") -> bytes:
        assert len(begun) + len(self.rest) <= max_bytes
        return begun + self.rest


async def receive(coming: Coming, grammar: Grammar = TRANSCRIPTIONS) -> tuple[Request | Refusal, Upload | None]:
    inbound: Inbound = coming  # type: ignore[assignment]  # what of one is used here
    return await receive_metered(inbound, grammar, CONTENT_TYPE.encode(), max_bytes=1 << 25)


@pytest.mark.parametrize("step", [50, 100_000])
@pytest.mark.parametrize("grammar", [TRANSCRIPTIONS, TRANSLATIONS])
async def test_a_long_recording_after_its_model_is_passed_on(grammar: Grammar, step: int) -> None:
    coming = Coming(body := form(MODEL, ("file", LARGE)), step=step)
    request, upload = await receive(coming, grammar)

    assert isinstance(request, Request)
    assert upload is not None
    assert request.form is not None
    assert len(coming.rest) > len(LARGE) // 2
    assert body == request.form.named("m") + b"".join([piece async for piece in upload.pieces()])
    assert len(body) == len(request.form.body) + upload.length


@pytest.mark.parametrize(
    ("coming", "grammar"),
    [
        (Coming(form(("file", LARGE), MODEL)), TRANSCRIPTIONS),
        (Coming(form(MODEL, ("file", LARGE[:-400]))), TRANSCRIPTIONS),
        (Coming(form(MODEL, ("file", LARGE)), says_length=False), TRANSCRIPTIONS),
        (Coming(form(MODEL, ("prompt", "p"), ("image", LARGE))), EDITS),
        (Coming(form(MODEL, ("prompt", "x" * 2_000_000))), TRANSCRIPTIONS),
        (Coming(form(MODEL, ("file", LARGE)), step=1 << 21), TRANSCRIPTIONS),
    ],
)
async def test_what_is_short_or_says_too_little_first_is_held(coming: Coming, grammar: Grammar) -> None:
    request, upload = await receive(coming, grammar)

    assert isinstance(request, Request), request
    assert upload is None


async def test_what_is_refused_anyhow_is_refused_before_the_file_came() -> None:
    coming = Coming(form(MODEL, ("api_base", "http://evil"), ("file", LARGE)))
    refusal, _ = await receive(coming)

    assert isinstance(refusal, Refusal)
    assert Fault.UNSUPPORTED_PARAMETER is refusal.fault
    assert len(coming.rest) > len(LARGE) // 2


async def test_a_form_that_cannot_be_read_is_refused_as_a_whole() -> None:
    refusal, upload = await receive(Coming(form(MODEL, MODEL, ("file", LARGE))))

    assert isinstance(refusal, Refusal)
    assert "comes twice" in refusal.message
    assert upload is None


async def test_an_opening_that_comes_byte_by_byte_is_read_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look(grammar: Grammar, content_type: bytes, begun: bytes, length: int) -> Opening | Sight:
        looks.append(len(begun))
        return read_arriving(grammar, content_type, begun, length)

    monkeypatch.setattr(metered_body, "read_arriving", look)
    _, upload = await receive(Coming(form(*[("n[]", "x")] * 200, MODEL, ("file", LARGE)), step=1))

    assert upload is not None
    assert len(looks) < 20


async def test_what_openais_sdk_for_python_writes_is_passed_on() -> None:
    """It leaves its forms to httpx, which writes files last."""
    sent = httpx.Request("POST", "http://x", data={"model": "m", "stream": "true"}, files={"file": ("a.mp3", LARGE)})
    inbound: Inbound = Coming(sent.read())  # type: ignore[assignment]  # what of one is used here
    content_type = sent.headers["content-type"].encode()
    request, upload = await receive_metered(inbound, TRANSCRIPTIONS, content_type, max_bytes=1 << 25)

    assert isinstance(request, Request)
    assert (ReplyMode.STREAM, True) == (request.mode, upload is not None)
