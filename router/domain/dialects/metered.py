"""Know the routes whose replies are paid for by units beside tokens, and what a request to one of them may use.

What is asked is bounded before it is sent; what its provider does not say afterwards is guessed, as tokens are.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from router.domain.dialects.arriving_form import Opening, Sight, read_opening
from router.domain.dialects.dialect import Dialect, Grammar
from router.domain.dialects.form import Form, is_form, read_form
from router.domain.dialects.request import DESTINATION_FIELDS, Request, read_request, request_of
from router.domain.faults import Fault, Refusal
from router.domain.planning.directives import FIELDS
from router.domain.stream import ReplyMode
from router.domain.units import NO_UNITS, PIECES_MAX, Units, at_most

AUDIO_BYTES_PER_S_MIN: Final = 500
"""4 kbit/s: codecs for speech have no less. So many bytes of a file hold a second at most."""
AUDIO_BYTES_PER_S_USUAL: Final = 4_000
"""32 kbit/s, for estimates: most recordings have more, and so are shorter."""
RERANK_CHUNK_BYTES_MIN: Final = 250
"""A document is searched in pieces of 500 tokens with the query, which takes no more than half."""
RERANK_CHUNKS_PER_QUERY: Final = 100
IMAGE_TOKENS_USUAL: Final = 4_160
"""Of an image of 1024 by 1024 in high quality, for estimates."""
SPEECH_TOKENS_PER_CHARACTER: Final = 2
"""For estimates: 20 tokens are a second, in which somebody says 15 characters."""
SPOKEN_TOKENS_PER_S: Final = 4
"""For estimates: 150 words a minute."""


def _grammar(
    dialect: Dialect,
    route: str,
    content: str,
    settings: tuple[str, ...],
    *,
    prompt: tuple[str, ...] = (),
    openers: bytes = b'"',
    words: str = "a text",
    needs_content: bool = True,
    needs_model: bool = True,
    form: bool = False,
    streams: bool = True,
) -> Grammar:
    return Grammar(
        dialect=dialect,
        route=route,
        content=content,
        content_openers=openers,
        content_words=words,
        turns=False,
        needs_content=needs_content,
        needs_model=needs_model,
        prompt=(content, *prompt),
        settings=frozenset(("model", "user", "stream", *settings)),
        max_tokens=(),
        form=form,
        streams=streams,
        generates=False,
    )


_OF_IMAGES: Final = (
    "background", "input_fidelity", "moderation", "n", "output_compression", "output_format", "partial_images",
    "quality", "response_format", "size", "style",
)  # fmt: skip
_OF_AUDIO: Final = (
    "chunking_strategy", "include", "include[]", "language", "response_format", "temperature",
    "timestamp_granularities", "timestamp_granularities[]",
)  # fmt: skip

GENERATIONS: Final = _grammar(Dialect.IMAGES, "/images/generations", "prompt", _OF_IMAGES)
EDITS: Final = _grammar(Dialect.IMAGES, "/images/edits", "prompt", _OF_IMAGES, form=True)
VARIATIONS: Final = _grammar(
    Dialect.IMAGES, "/images/variations", "prompt", _OF_IMAGES, form=True, needs_content=False, streams=False
)
SPEECH: Final = _grammar(
    Dialect.AUDIO,
    "/audio/speech",
    "input",
    ("response_format", "speed", "stream_format", "voice"),
    prompt=("instructions",),
    streams=False,
)
TRANSCRIPTIONS: Final = _grammar(
    Dialect.AUDIO, "/audio/transcriptions", "prompt", _OF_AUDIO, form=True, needs_content=False
)
TRANSLATIONS: Final = _grammar(
    Dialect.AUDIO, "/audio/translations", "prompt", _OF_AUDIO, form=True, needs_content=False, streams=False
)
MODERATIONS: Final = _grammar(
    Dialect.MODERATIONS,
    "/moderations",
    "input",
    (),
    openers=b'"[',
    words="a text, or an array of texts or parts",
    needs_model=False,
    streams=False,
)
RERANK: Final = _grammar(
    Dialect.RERANK,
    "/rerank",
    "query",
    ("max_chunks_per_doc", "max_tokens_per_doc", "rank_fields", "return_documents", "top_k", "top_n"),
    prompt=("documents",),
    openers=b'"{',
    streams=False,
)
METERED: Final = (GENERATIONS, EDITS, VARIATIONS, SPEECH, TRANSCRIPTIONS, TRANSLATIONS, MODERATIONS, RERANK)


class Guess(NamedTuple):
    """What is taken to be used where a provider does not say."""

    units: Units
    output_tokens: int


_count: Final = msgspec.json.Decoder(int | None, strict=False)
_text: Final = msgspec.json.Decoder(str)
_list: Final = msgspec.json.Decoder(list[Raw])
_encode: Final = msgspec.json.Encoder().encode
_FLAGS: Final = {"true": Raw(b"true"), "1": Raw(b"true"), "false": Raw(b"false"), "0": Raw(b"false"), "": Raw(b"null")}
_EVENTS: Final = Raw(b'"sse"')
_ABSENT: Final = Raw(b"null")
_DECIDING: Final = frozenset(("model", "stream", *DESTINATION_FIELDS, *FIELDS))
"""What decides who is asked, and for what kind of reply."""
_IMAGE_MEMBERS: Final = ("image", "images", "mask")


def read_metered(grammar: Grammar, content_type: bytes, body: bytes) -> Request | Refusal:
    """Read a body of JSON, or a form where the route takes one."""
    request = _read_form(grammar, content_type, body) if is_form(content_type) else read_request(grammar, body)
    if isinstance(request, Refusal):
        return request
    if grammar is SPEECH and request.fields.get("stream_format") == _EVENTS:
        return msgspec.structs.replace(request, mode=ReplyMode.STREAM)
    return request


def read_arriving(grammar: Grammar, content_type: bytes, begun: bytes, length: int) -> Opening | Sight:
    """Read a form that may be passed on while it comes, as far as it has: a recording of `length` bytes with its form.

    Of images nobody knows how many there are before all have come, and each has its price.
    """
    if not _is_heard(grammar) or not is_form(content_type):
        return Sight.NEVER
    return read_opening(content_type, begun, length=length, barred=_DECIDING)


def _read_form(grammar: Grammar, content_type: bytes, body: bytes) -> Request | Refusal:
    form = read_form(content_type, body)
    return form if isinstance(form, Refusal) else request_of_form(grammar, form)


def request_of_form(grammar: Grammar, form: Form) -> Request | Refusal:
    """Make a request of a form, or of what has come of it."""
    fields = {name: Raw(_encode(text)) for name, text in form.texts.items()}
    for name in FIELDS:
        if name in fields:
            return Refusal(
                fault=Fault.UNSUPPORTED_PARAMETER,
                message=f"`{name}` cannot be said in a form, which is sent on as it came. Remove it.",
                param=name,
            )
    if "stream" in fields:
        fields["stream"] = _FLAGS.get(form.texts["stream"].lower(), fields["stream"])
    return request_of(grammar, fields, size=sum(map(len, fields.values())), form=form)


def units_max(request: Request) -> Units | None:
    """Return the most units that a request can use; None: nobody can say."""
    if _is_heard(request.grammar) and (request.form is None or not request.form.files):
        return None  # the provider is told where the sound is
    return _units(request, AUDIO_BYTES_PER_S_MIN, _queries_max(request.fields), unsaid=None)


def guess_of(request: Request) -> Guess:
    """Return what a request is taken to use, if nobody says what it did."""
    units = _units(request, AUDIO_BYTES_PER_S_USUAL, 1, unsaid="")
    tokens = units.images * IMAGE_TOKENS_USUAL + units.characters * SPEECH_TOKENS_PER_CHARACTER
    return Guess(units, at_most(tokens + units.audio_ms * SPOKEN_TOKENS_PER_S // 1_000))


def images_in(request: Request) -> int:
    """Count the images that a request holds, in files and in members."""
    if request.grammar.dialect is not Dialect.IMAGES:
        return 0
    found = 0 if request.form is None else len(request.form.files)
    for name in _IMAGE_MEMBERS:
        raw = bytes(request.fields.get(name, _ABSENT))
        if raw != b"null":
            found += len(_list.decode(raw)) if raw[:1] == b"[" else 1
    return found


def _is_heard(grammar: Grammar) -> bool:
    return grammar in (TRANSCRIPTIONS, TRANSLATIONS)


def _units(request: Request, bytes_per_s: int, queries: int, *, unsaid: str | None) -> Units:
    grammar, fields = request.grammar, request.fields
    if grammar.dialect is Dialect.IMAGES:
        return Units(
            images=at_most(_number(fields.get("n", _ABSENT)) or 1, PIECES_MAX),
            image_quality=_said(fields, "quality", unsaid),
            image_size=_said(fields, "size", unsaid),
        )
    if grammar is SPEECH:
        return Units(characters=at_most(len(_words(fields.get("input", _ABSENT)))))
    if _is_heard(grammar):
        size = 0 if request.form is None else sum(request.form.files)
        return Units(audio_ms=at_most(-(-size * 1_000 // bytes_per_s)))
    return Units(queries=at_most(queries, PIECES_MAX)) if grammar is RERANK else NO_UNITS


def _queries_max(fields: Mapping[str, Raw]) -> int:
    """Bound the searches of a rerank: each hundred pieces of documents are one."""
    raw = fields.get("documents", _ABSENT)
    try:
        documents = len(_list.decode(raw))
    except msgspec.DecodeError:
        documents = 1
    pieces = documents + len(raw) // RERANK_CHUNK_BYTES_MIN
    return max(1, -(-pieces // RERANK_CHUNKS_PER_QUERY))


def _said(fields: Mapping[str, Raw], name: str, unsaid: str | None) -> str | None:
    """Return what a caller says of its images; None: that the provider shall choose."""
    text = _words(fields.get(name, _ABSENT)) or unsaid
    return None if text == "auto" else text


def _words(raw: Raw) -> str:
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        return ""


def _number(raw: Raw) -> int | None:
    try:
        count: int | None = _count.decode(raw)
    except msgspec.DecodeError:
        return None
    return count
