"""Put the messages of Chat Completions into the input of a Responses call.

A message of the model's becomes one item for its text and one for each call. What only the provider that wrote it
can read goes, as `scoped.py` has it go between providers: thoughts, signatures, notes.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Raw

from router.domain.dialects.losses import Losses, malformed
from router.domain.dialects.raw_json import (
    NO_TEXT,
    NULL,
    encode,
    is_list,
    is_text,
    read_list,
    read_present,
    read_text,
    read_type,
    text_member,
)

_Part = dict[str, object]

_NOTES: Final = ("provider_specific_fields", "extra_content", "thought_signature", "signature", "cache_control")
"""Of no meaning to another provider; a cache does not change what is said."""
_SAID: Final = frozenset(
    {
        "role",
        "content",
        "refusal",
        "tool_calls",
        "annotations",
        "thinking_blocks",
        "reasoning_details",
        "reasoning_content",
        "reasoning",
        *_NOTES,
    }
)
_HEARD: Final = frozenset({"role", "content", *_NOTES})
_ANSWER: Final = frozenset({"role", "content", "tool_call_id", "name", *_NOTES})
_CALL: Final = frozenset({"id", "type", "function", "index", *_NOTES})
_FUNCTION: Final = frozenset({"name", "arguments", *_NOTES})
_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})
_KEPT: Final = "prompt_cache_breakpoint"
_TEXT: Final = frozenset({"type", "text", _KEPT})
_REFUSAL: Final = frozenset({"type", "refusal"})
_IMAGE: Final = frozenset({"type", "image_url", _KEPT})
_IMAGE_URL: Final = frozenset({"url", "detail"})
_FILE_PART: Final = frozenset({"type", "file", _KEPT})
_FILE: Final = frozenset({"file_data", "file_id", "filename"})


def items_of(messages: Raw, losses: Losses) -> Raw:
    """Write the items. Raises `Unsayable`."""
    items: list[object] = []
    for index, raw in enumerate(read_list(messages, "messages")):
        param = f"messages[{index}]"
        message = read_present(raw, param)
        role = read_text(message.get("role", NULL), f"{param}.role")
        if role == "assistant":
            items += _said(message, param, losses)
        elif role in {"user", "system", "developer"}:
            losses.lose_unknown(message, _HEARD, param)
            content = _content(message.get("content", NULL), f"{param}.content", "input_text", losses)
            items.append({"type": "message", "role": role, "content": content})
        elif role == "tool":
            losses.lose_unknown(message, _ANSWER, param)
            call_id = text_member(message, "tool_call_id", param)
            output = _content(message.get("content", NULL), f"{param}.content", "input_text", losses)
            items.append({"type": "function_call_output", "call_id": call_id, "output": output})
        else:
            losses.lose(f"{param}.role", f"Responses has no messages of the role `{role}`.")
    return encode(items)


def _said(message: dict[str, Raw], param: str, losses: Losses) -> list[object]:
    losses.lose_unknown(message, _SAID, param)
    items: list[object] = []
    content = message.get("content", NULL)
    if content != NULL:
        content = _content(content, f"{param}.content", "output_text", losses)
    if content not in (NULL, NO_TEXT):
        items.append({"type": "message", "role": "assistant", "content": content})
    if "refusal" in message:
        refusal = {"type": "refusal", "refusal": text_member(message, "refusal", param)}
        items.append({"type": "message", "role": "assistant", "content": [refusal]})
    for index, raw in enumerate(read_list(message.get("tool_calls", Raw(b"[]")), f"{param}.tool_calls")):
        at = f"{param}.tool_calls[{index}]"
        call = read_present(raw, at)
        if "type" in call and read_text(call["type"], f"{at}.type") != "function":
            raise losses.never(f"{at}.type", "it is no call of a function, and its answer would then answer nothing")
        losses.lose_unknown(call, _CALL, at)
        function = read_present(call.get("function", NULL), f"{at}.function")
        losses.lose_unknown(function, _FUNCTION, f"{at}.function")
        items.append(
            {
                "type": "function_call",
                "call_id": text_member(call, "id", at),
                "name": text_member(function, "name", f"{at}.function"),
                "arguments": text_member(function, "arguments", f"{at}.function"),
            }
        )
    if not items and content == NO_TEXT:
        items.append({"type": "message", "role": "assistant", "content": NO_TEXT})
    return items


def _content(raw: Raw, param: str, text_kind: str, losses: Losses) -> Raw:
    if is_text(raw):
        return raw
    if not is_list(raw):
        raise malformed(param, "a string or an array of parts")
    parts = []
    for index, element in enumerate(read_list(raw, param)):
        at = f"{param}[{index}]"
        part = read_present(element, at)
        for note in _NOTES:
            part.pop(note, None)
        kind = read_type(part, at)
        if kind in _THOUGHTS:
            continue
        write = _PARTS.get(kind)
        if write is None:
            losses.lose(f"{at}.type", f"Responses has no parts of type `{kind}`. Use text, image_url or file.")
            continue
        parts.append(write(part, at, text_kind, losses))
    return encode(parts) if parts else NO_TEXT


def _text_part(part: dict[str, Raw], param: str, kind: str, losses: Losses) -> _Part:
    losses.lose_unknown(part, _TEXT, param)
    return _with_kept(part, {"type": kind, "text": text_member(part, "text", param)})


def _refusal_part(part: dict[str, Raw], param: str, _kind: str, losses: Losses) -> _Part:
    losses.lose_unknown(part, _REFUSAL, param)
    return {"type": "refusal", "refusal": text_member(part, "refusal", param)}


def _image_part(part: dict[str, Raw], param: str, _kind: str, losses: Losses) -> _Part:
    losses.lose_unknown(part, _IMAGE, param)
    raw = part.get("image_url", NULL)
    if is_text(raw):  # not OpenAI's, but common
        return _with_kept(part, {"type": "input_image", "image_url": raw, "detail": "auto"})
    image = read_present(raw, f"{param}.image_url")
    losses.lose_unknown(image, _IMAGE_URL, f"{param}.image_url")
    url = text_member(image, "url", f"{param}.image_url")
    return _with_kept(part, {"type": "input_image", "image_url": url, "detail": image.get("detail", "auto")})


def _file_part(part: dict[str, Raw], param: str, _kind: str, losses: Losses) -> _Part:
    losses.lose_unknown(part, _FILE_PART, param)
    file = read_present(part.get("file", NULL), f"{param}.file")
    losses.lose_unknown(file, _FILE, f"{param}.file")
    return _with_kept(part, {"type": "input_file", **file})


_PARTS: Final[Mapping[str, Callable[[dict[str, Raw], str, str, Losses], _Part]]] = {
    "text": _text_part,
    "refusal": _refusal_part,
    "image_url": _image_part,
    "file": _file_part,
}


def _with_kept(part: dict[str, Raw], written_: _Part) -> _Part:
    """Keep where the caller wants the prompt's cache to end: both dialects say it alike."""
    return {**written_, _KEPT: part[_KEPT]} if _KEPT in part else written_
