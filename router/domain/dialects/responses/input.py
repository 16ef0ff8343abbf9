"""Put the input of a Responses call into the messages of Chat Completions.

What a model says in one turn is several items there and one message here: thought, text and calls up to the next
word of somebody else. Thoughts that are open to read become `reasoning_content`, which some providers want back with
the calls that came of it; `scoped.py` takes it out for others. Encrypted thoughts and summaries go, as does `phase`:
they mean something only to the provider that wrote them. `detail: original` becomes `high`, the nearest there is. An
image in a tool's answer stays where it is: not every provider takes it there, and those that do not say so.
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

_MESSAGE: Final = frozenset({"type", "role", "content", "id", "status", "phase"})
_CALL: Final = frozenset({"type", "call_id", "name", "arguments", "id", "status"})
_ANSWER: Final = frozenset({"type", "call_id", "output", "name", "id", "status"})
_TEXT: Final = frozenset({"type", "text", "annotations", "logprobs", "prompt_cache_breakpoint"})
_REFUSAL: Final = frozenset({"type", "refusal"})
_IMAGE: Final = frozenset({"type", "image_url", "detail", "prompt_cache_breakpoint"})
_FILE: Final = frozenset({"file_data", "file_id", "filename"})
_FILE_PART: Final = _FILE | {"type", "prompt_cache_breakpoint"}
_AUDIO: Final = frozenset({"type", "input_audio"})


def messages_of(instructions: Raw, input_: Raw, losses: Losses) -> Raw:
    """Write the messages. Raises `Unsayable`."""
    turns = _Turns(losses)
    if instructions != NULL:
        if not is_text(instructions):
            raise malformed("instructions", "a string")
        turns.messages.append({"role": "system", "content": instructions})
    if is_text(input_):
        turns.messages.append({"role": "user", "content": input_})
    elif is_list(input_):
        for index, item in enumerate(read_list(input_, "input")):
            turns.take(item, f"input[{index}]")
        turns.close()
    else:
        raise malformed("input", "a string or an array of items")
    return encode(turns.messages)


class _Turns:
    """The messages so far, and what the model has said since the last word of somebody else."""

    __slots__ = ("_calls", "_contents", "_losses", "_thoughts", "messages")

    def __init__(self, losses: Losses) -> None:
        self.messages: list[object] = []
        self._losses = losses
        self._contents: list[Raw] = []
        self._calls: list[object] = []
        self._thoughts: list[bytes] = []

    def take(self, raw: Raw, param: str) -> None:
        item = read_present(raw, param)
        kind = read_text(item["type"], f"{param}.type") if "type" in item else "message"
        if kind == "message":
            self._message(item, param)
        elif kind == "function_call":
            self._losses.lose_unknown(item, _CALL, param)
            function = {name: text_member(item, name, param) for name in ("name", "arguments")}
            self._calls.append({"id": text_member(item, "call_id", param), "type": "function", "function": function})
        elif kind == "function_call_output":
            self._losses.lose_unknown(item, _ANSWER, param)
            self.close()
            content = _content(item.get("output", NULL), f"{param}.output", self._losses)
            self.messages.append(
                {"role": "tool", "tool_call_id": text_member(item, "call_id", param), "content": content}
            )
        elif kind == "reasoning":
            self._thoughts += _open_thoughts(item, param)
        elif kind == "item_reference":
            raise self._losses.never(f"{param}.type", "nobody has stored what it refers to, so send that itself")
        else:
            self._losses.lose(f"{param}.type", f"`{kind}` is no message, function call or answer to one. Remove it.")

    def close(self) -> None:
        """End the model's turn. A thought that nothing came of is not kept."""
        if self._contents or self._calls:
            message: dict[str, object] = {"role": "assistant", **_said(self._contents)}
            if self._thoughts:
                message["reasoning_content"] = Raw(b'"' + b"".join(self._thoughts) + b'"')
            if self._calls:
                message["tool_calls"] = self._calls
            self.messages.append(message)
        self._contents, self._calls, self._thoughts = [], [], []

    def _message(self, item: dict[str, Raw], param: str) -> None:
        self._losses.lose_unknown(item, _MESSAGE, param)
        role = read_text(item.get("role", NULL), f"{param}.role")
        content = _content(item.get("content", NULL), f"{param}.content", self._losses)
        if role == "assistant":
            if self._contents and not self._calls:
                self.close()
            self._contents.append(content)
        elif role in {"user", "system", "developer"}:
            self.close()
            self.messages.append({"role": role, "content": content})
        else:
            self._losses.lose(f"{param}.role", f"`{role}` is not a role of Responses.")


def _said(contents: list[Raw]) -> dict[str, object]:
    """Write what the model said; text that it said around its calls stands together."""
    if not contents:
        return {"content": NULL}
    if len(contents) == 1:
        content = contents[0]
    else:
        parts: list[object] = []
        for said in contents:
            parts += read_list(said, "content") if is_list(said) else [{"type": "text", "text": said}]
        content = encode(parts)
    if is_list(content):
        parts_ = read_list(content, "content")
        only = read_present(parts_[0], "content") if len(parts_) == 1 else {}
        if "refusal" in only:
            return {"content": NULL, "refusal": only["refusal"]}
    return {"content": content}


def _content(raw: Raw, param: str, losses: Losses) -> Raw:
    """Write a content; one plain text, in whatever form, as the string that every provider takes."""
    if is_text(raw):
        return raw
    if not is_list(raw):
        raise malformed(param, "a string or an array of parts")
    parts = []
    for index, element in enumerate(read_list(raw, param)):
        at = f"{param}[{index}]"
        part = read_present(element, at)
        kind = read_type(part, at)
        write = _PARTS.get(kind)
        if write is None:
            losses.lose(f"{at}.type", f"Chat Completions has no parts of type `{kind}`. Use text, images or files.")
            continue
        done = write(part, at, losses)
        if done is not None:
            parts.append(done)
    if not parts:
        return NO_TEXT
    only = parts[0]["text"] if len(parts) == 1 and parts[0].keys() == {"type", "text"} else None
    return only if isinstance(only, Raw) else encode(parts)


def _text_part(part: dict[str, Raw], param: str, losses: Losses) -> _Part | None:
    losses.lose_unknown(part, _TEXT, param)
    return {"type": "text", "text": text_member(part, "text", param), **_kept(part)}


def _refusal_part(part: dict[str, Raw], param: str, losses: Losses) -> _Part | None:
    losses.lose_unknown(part, _REFUSAL, param)
    return {"type": "refusal", "refusal": text_member(part, "refusal", param)}


def _image_part(part: dict[str, Raw], param: str, losses: Losses) -> _Part | None:
    losses.lose_unknown(part, _IMAGE, param)
    if "image_url" not in part and "file_id" in part:
        return None  # noted just now
    image: dict[str, object] = {"url": text_member(part, "image_url", param)}
    if "detail" in part:
        original = read_text(part["detail"], f"{param}.detail") == "original"
        image["detail"] = "high" if original else part["detail"]
    return {"type": "image_url", "image_url": image, **_kept(part)}


def _file_part(part: dict[str, Raw], param: str, losses: Losses) -> _Part | None:
    if part.get("detail") == Raw(b'"auto"'):
        del part["detail"]
    losses.lose_unknown(part, _FILE_PART, param)
    file = {name: raw for name, raw in part.items() if name in _FILE}
    if not file and "file_url" in part:
        return None  # noted just now
    if not file:
        raise malformed(param, "a file: give `file_data` or `file_id`")
    return {"type": "file", "file": file, **_kept(part)}


def _audio_part(part: dict[str, Raw], param: str, losses: Losses) -> _Part | None:
    losses.lose_unknown(part, _AUDIO, param)
    return {"type": "input_audio", "input_audio": encode(read_present(part.get("input_audio", NULL), param))}


_PARTS: Final[Mapping[str, Callable[[dict[str, Raw], str, Losses], _Part | None]]] = {
    "input_text": _text_part,
    "output_text": _text_part,
    "text": _text_part,
    "refusal": _refusal_part,
    "input_image": _image_part,
    "input_file": _file_part,
    "input_audio": _audio_part,
}


def _kept(part: dict[str, Raw]) -> dict[str, object]:
    """Keep where the caller wants the prompt's cache to end: both dialects say it alike."""
    return {"prompt_cache_breakpoint": part["prompt_cache_breakpoint"]} if "prompt_cache_breakpoint" in part else {}


def _open_thoughts(item: dict[str, Raw], param: str) -> list[bytes]:
    """Return the bodies of the strings that a reasoning item lets one read."""
    if "content" not in item:
        return []
    parts = [read_present(part, param) for part in read_list(item["content"], f"{param}.content")]
    return [bytes(part["text"])[1:-1] for part in parts if is_text(part.get("text", NULL))]
