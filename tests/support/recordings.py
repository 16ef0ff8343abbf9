"""Replies that providers really gave, as others recorded and published them, each with where it stands.

A line of `recorded/*.jsonl` is one: a whole reply, the events of a stream, or the body of an error. Members, their
types, what is null and what is absent, ids and the order of events are as recorded. Prose, cities, signatures and most
numbers are ours, and long runs of alike deltas are cut. Errors whose words matter, such as that a prompt is too long,
are in `phrasings`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.fake_upstream import Framing, Handler, Reply, Request

Json = dict[str, Any]
Call = tuple[str, str, object]
"""Id, name and arguments, read."""

_FOLDER: Final = Path(__file__).with_name("recorded")
_PROMPT: Final = re.compile(rb"recording (\d+)")
_SSE: Final = (("content-type", "text/event-stream; charset=utf-8"),)


class Recording(NamedTuple):
    number: int
    provider: str
    source: str
    dialect: str
    status: int
    body: Json | None
    """Of a whole reply or an error; None: it is a stream."""
    events: tuple[Json, ...]
    told_calls: tuple[Call, ...] | None
    """What calls the stream means, where its pieces have no index."""
    fails: bool
    """The stream tells of an error."""

    def __str__(self) -> str:
        return f"{self.number} {self.provider}, {self.source.rpartition('/')[2]}"

    @property
    def prompt(self) -> str:
        return f"recording {self.number}"

    @property
    def raw(self) -> bytes:
        """The bytes of the body as the provider may have written them."""
        if self.body is not None:
            return _written(self.body)
        if self.dialect == "chat":
            return b"".join([b"data: %b\n\n" % _written(event) for event in self.events]) + b"data: [DONE]\n\n"
        return b"".join(
            [b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _written(event)) for event in self.events]
        )

    @property
    def reply(self) -> Reply:
        if self.body is not None:
            return Reply(status=self.status, steps=(self.raw,))
        return Reply(headers=_SSE, steps=(self.raw,), framing=Framing.CHUNKED)


def _written(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _arguments(text: str) -> object:
    return json.loads(text or "{}")


def _read(names: Iterable[str]) -> Iterator[Recording]:
    lines = [(name, line) for name in names for line in (_FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()]
    for number, (name, line) in enumerate(lines):
        said = json.loads(line)
        calls = said.get("calls")
        yield Recording(
            number=number,
            provider=said["provider"],
            source=said["source"],
            dialect=said.get("dialect", name),
            status=said.get("status", 200),
            body=said.get("body"),
            events=tuple(said.get("events", ())),
            told_calls=None if calls is None else tuple((at, name, _arguments(text)) for at, name, text in calls),
            fails=said.get("fails", False),
        )


RECORDINGS: Final = tuple(_read(("chat", "messages", "responses", "errors")))


def recorded(*dialects: str, failing: bool = False) -> list[Recording]:
    """Return the good replies of these dialects, or those that tell of an error."""
    return [one for one in RECORDINGS if one.dialect in dialects and (one.status != 200 or one.fails) is failing]


def player() -> Handler:
    """Answer each request with the recording that its prompt names."""

    def handler(request: Request) -> Reply:
        found = _PROMPT.search(request.body)
        assert found is not None, "the prompt names a recording"
        return RECORDINGS[int(found[1])].reply

    return handler


# --- what a reply means, read without the router ----------------------------------------------------------------------


def meant(recording: Recording) -> tuple[str, list[Call]]:
    """Return the text and the tool calls of a reply, of its first choice."""
    text, calls = _MEANT[recording.dialect](recording)
    return text, calls if recording.told_calls is None else list(recording.told_calls)


def _text_of(content: object) -> str:
    """Return the text of a chat message, which some write as an array of parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if part["type"] == "text")
    return content if isinstance(content, str) else ""


def _meant_in_chat(recording: Recording) -> tuple[str, list[Call]]:
    if recording.body is not None:
        message = recording.body["choices"][0]["message"]
        pieces = message.get("tool_calls") or ()
        return _text_of(message.get("content")), [
            (one["id"], one["function"]["name"], _arguments(one["function"]["arguments"])) for one in pieces
        ]
    text, calls = "", dict[int, list[str]]()
    for chunk in recording.events:
        for choice in chunk["choices"]:
            if choice["index"] != 0:
                continue
            delta = choice.get("delta", {})
            text += _text_of(delta.get("content"))
            for at, piece in enumerate(delta.get("tool_calls") or ()):
                call = calls.setdefault(piece.get("index", at), ["", "", ""])
                function = piece["function"]
                said = (piece.get("id"), function.get("name"), function.get("arguments"))
                call[:] = [have + (more or "") for have, more in zip(call, said, strict=True)]
    return text, [(id_, name, _arguments(said)) for id_, name, said in calls.values()]


def _meant_in_messages(recording: Recording) -> tuple[str, list[Call]]:
    if recording.body is not None:
        blocks = recording.body["content"]
    else:
        blocks, pieces = [], dict[int, str]()
        for event in recording.events:
            if event["type"] == "content_block_start":
                blocks.append(dict(event["content_block"]))
            elif event["type"] == "content_block_delta":
                delta, block = event["delta"], blocks[event["index"]]
                block["text"] = block.get("text", "") + delta.get("text", "")
                pieces[event["index"]] = pieces.get(event["index"], "") + delta.get("partial_json", "")
        for at, said in pieces.items():
            blocks[at]["input"] = _arguments(said)
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    return text, [(one["id"], one["name"], one["input"]) for one in blocks if one["type"] == "tool_use"]


def _meant_in_responses(recording: Recording) -> tuple[str, list[Call]]:
    whole = recording.body or recording.events[-1]["response"]
    parts = [part for item in whole["output"] if item["type"] == "message" for part in item["content"]]
    calls = [item for item in whole["output"] if item["type"] == "function_call"]
    return "".join(part["text"] for part in parts), [
        (one["call_id"], one["name"], _arguments(one["arguments"])) for one in calls
    ]


_MEANT: Final = {"chat": _meant_in_chat, "messages": _meant_in_messages, "responses": _meant_in_responses}
