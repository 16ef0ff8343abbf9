"""Put one part of a message, text, image or file, from Chat Completions into Messages and back.

Text, addresses and base64 pass as they are. `cache_control` is kept for Messages, since litellm's callers set it on
parts of Chat Completions too, and the other way for whoever knows of it. `detail` has no counterpart: Messages always
looks at an image as closely as `high` would.
"""

import base64
import binascii
from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses
from router.domain.dialects.raw_json import (
    NULL,
    Fields,
    encode,
    is_text,
    present,
    read_member,
    read_object,
    read_text,
    read_type,
)

_TEXT: Final = Raw(b'"text"')
_IMAGE: Final = Raw(b'"image"')
_DOCUMENT: Final = Raw(b'"document"')
_IMAGE_URL_KIND: Final = Raw(b'"image_url"')
_FILE_KIND: Final = Raw(b'"file"')
_TEXT_PART: Final = frozenset({"type", "text", "cache_control", "prompt_cache_breakpoint"})
_IMAGE_PART: Final = frozenset({"type", "image_url", "cache_control", "prompt_cache_breakpoint"})
_IMAGE_URL: Final = frozenset({"url", "detail", "format"})
_FILE_PART: Final = frozenset({"type", "file", "cache_control", "prompt_cache_breakpoint"})
_FILE: Final = frozenset({"file_data", "file_id", "filename", "format"})
_TEXT_BLOCK: Final = frozenset({"type", "text", "cache_control"})
_IMAGE_BLOCK: Final = frozenset({"type", "source", "cache_control"})
_DOCUMENT_BLOCK: Final = frozenset({"type", "source", "title", "cache_control"})
_DEFAULTS: Final = {"citations": (b"[]", b'{"enabled":false}')}
_AS_CLOSE: Final = frozenset({"auto", "high"})
_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"


def text_block(text: Raw, cache_control: Raw | None = None) -> dict[str, Raw]:
    """Write a part that both dialects have."""
    block = {"type": _TEXT, "text": text}
    if cache_control is not None:
        block["cache_control"] = cache_control
    return block


def part_from_chat(part: Fields, where: str, losses: Losses) -> dict[str, Raw] | None:
    """Return the block that a part of a message is; None if it was left out or says nothing."""
    kind = read_type(part, where)
    cache_control = present(part, "cache_control")
    if kind == "text":
        losses.lose_unknown(part, _TEXT_PART, where)
        text = part.get("text", NULL)
        return text_block(text, cache_control) if _says(text, f"{where}.text") else None
    if kind == "refusal":
        text = part.get("refusal", NULL)
        return text_block(text) if _says(text, f"{where}.refusal") else None
    if kind == "image_url":
        losses.lose_unknown(part, _IMAGE_PART, where)
        block = _image_from_chat(part, f"{where}.image_url", losses)
    elif kind == "file":
        losses.lose_unknown(part, _FILE_PART, where)
        block = _file_from_chat(part, f"{where}.file", losses)
    else:
        losses.lose(f"{where}.type", f"Messages has no parts of type `{kind}`. Use text, image_url or file.")
        return None
    if block is not None and cache_control is not None:
        block["cache_control"] = cache_control
    return block


def part_to_chat(block: Fields, where: str, losses: Losses) -> dict[str, Raw] | None:
    """Return the part that a block of text, an image or a document is; None if it was left out."""
    kind = read_type(block, where)
    if kind == "text":
        losses.lose_unknown(block, _TEXT_BLOCK, where, _DEFAULTS)
        part: dict[str, Raw] | None = text_block(block.get("text", NULL))
    elif kind == "image":
        losses.lose_unknown(block, _IMAGE_BLOCK, where, _DEFAULTS)
        part = _image_to_chat(block, f"{where}.source", losses)
    elif kind == "document":
        losses.lose_unknown(block, _DOCUMENT_BLOCK, where, _DEFAULTS)
        part = _document_to_chat(block, f"{where}.source", losses)
    else:
        losses.lose(f"{where}.type", f"Chat Completions has no parts of type `{kind}`. Remove it.")
        return None
    if part is not None:
        keep_hint(block, part, losses)
    return part


def keep_hint(block: Fields, written: dict[str, Raw], losses: Losses) -> None:
    """Keep where a prompt's cache is to end, for whoever knows of it: OpenAI refuses the hint, and needs none."""
    cache_control = present(block, "cache_control") if losses.extended else None
    if cache_control is not None:
        written["cache_control"] = cache_control


def _says(text: Raw, where: str) -> bool:
    """Tell whether there is any text: Messages takes no empty one."""
    if not is_text(text):
        read_text(text, where)
    return len(bytes(text)) > len(b'""')


def _image_from_chat(part: Fields, where: str, losses: Losses) -> dict[str, Raw] | None:
    raw = part.get("image_url", NULL)
    image = {"url": raw} if is_text(raw) else read_object(raw, where)
    losses.lose_unknown(image, _IMAGE_URL, where)
    detail = present(image, "detail")
    if detail is not None and read_text(detail, f"{where}.detail") not in _AS_CLOSE:
        losses.lose(f"{where}.detail", "Messages looks at every image closely. Leave `detail` out, or say `auto`.")
    source = _source(read_member(image, "url", where))
    if source is None:
        losses.lose(f"{where}.url", "Messages takes an image by its http(s) address or as a base64 data URL.")
        return None
    return {"type": _IMAGE, "source": encode(source)}


def _file_from_chat(part: Fields, where: str, losses: Losses) -> dict[str, Raw] | None:
    file = read_object(part.get("file", NULL), where)
    losses.lose_unknown(file, _FILE, where)
    name = present(file, "filename")
    if present(file, "file_data") is not None:
        data = read_text(file["file_data"], f"{where}.file_data")
        source = _document(_source(data) or {"type": "base64", "media_type": _PDF, "data": data})
        param = f"{where}.file_data"
    else:
        source = _source(read_member(file, "file_id", where))
        param = f"{where}.file_id"
    if source is None or (source["type"] == "url") == (param.endswith("file_data")):
        losses.lose(param, "Messages takes a PDF or plain text as a base64 data URL, or a PDF by its http(s) address.")
        return None
    block = {"type": _DOCUMENT, "source": encode(source)}
    if name is not None:
        block["title"] = name
    return block


def _source(url: str) -> dict[str, str] | None:
    """Read an address as Messages writes it; None if it is of another kind."""
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    if not url.startswith("data:"):
        return None
    about, comma, data = url[len("data:") :].partition(",")
    media_type, *rest = about.split(";")
    if not comma or "base64" not in rest:
        return None
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(source: dict[str, str]) -> dict[str, str] | None:
    """Return the source of a document: Messages has PDFs as base64, and plain text as text."""
    if source["type"] == "url" or source["media_type"] == _PDF:
        return source
    if source["media_type"] != _PLAIN:
        return None
    try:
        text = base64.b64decode(source["data"], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return {"type": "text", "media_type": _PLAIN, "data": text}


def _image_to_chat(block: Fields, where: str, losses: Losses) -> dict[str, Raw] | None:
    source = read_object(block.get("source", NULL), where)
    kind = read_type(source, where)
    if kind == "url":
        url = source.get("url", NULL)
    elif kind == "base64":
        url = _data_url(source, where)
    else:
        losses.lose(f"{where}.type", f"Chat Completions has no images by `{kind}`. Send its data or its address.")
        return None
    return {"type": _IMAGE_URL_KIND, "image_url": encode({"url": url})}


def _document_to_chat(block: Fields, where: str, losses: Losses) -> dict[str, Raw] | None:
    source = read_object(block.get("source", NULL), where)
    kind = read_type(source, where)
    if kind == "base64":
        file = {"file_data": _data_url(source, where)}
    elif kind == "text":
        data = base64.b64encode(read_member(source, "data", where).encode()).decode()
        file = {"file_data": encode(f"data:{_PLAIN};base64,{data}")}
    else:
        losses.lose(f"{where}.type", f"Chat Completions has no documents by `{kind}`. Send the data of a PDF.")
        return None
    title = present(block, "title")
    if title is not None:
        file["filename"] = title
    return {"type": _FILE_KIND, "file": encode(file)}


def _data_url(source: Fields, where: str) -> Raw:
    media_type = read_member(source, "media_type", where)
    return encode(f"data:{media_type};base64,{read_member(source, 'data', where)}")
