"""What a caller may ask of Gemini and what it may answer: cases for which two ways of asking must not differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.support.fake_upstream import Reply
from tests.support.provider_wires import gemini_event, gemini_says, gemini_stream

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SIGNATURE: Final = "c2lnbmVk"
LOOK: Final = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look at a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "at": {"type": "integer"},
                "how": {"type": "string", "enum": ["well", "badly"]},
                "of": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "in": {"$ref": "#/$defs/room"},
            },
            "$defs": {
                "room": {"type": "object", "properties": {"door": {"type": "array", "items": {"type": "string"}}}}
            },
            "required": ["at"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
BARE: Final = {"type": "function", "function": {"name": "bare"}}
SCHEMA: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}},
    "required": ["name"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Members beside `model`; without `messages` it is one word of a user."""

    name: str
    members: Mapping[str, object]
    model: str = "gemini-2.5-flash"
    params: Mapping[str, str] | None = None
    drop: bool = False


def _user(*parts: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def _talk(*messages: object, **more: object) -> dict[str, object]:
    return {"messages": list(messages), **more}


def _image(url: str, **more: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


TEXT: Final = {"type": "text", "text": "What is this?"}
PNG: Final = f"data:image/png;base64,{PIXEL}"
U: Final = {"role": "user", "content": "hello"}
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
SIGNED: Final = {**CALL, "provider_specific_fields": {"thought_signature": SIGNATURE}}
CALLED: Final = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: Final = {"role": "tool", "tool_call_id": "c1", "content": "a door"}

_PLAIN: Final[Mapping[str, Mapping[str, object]]] = {
    "one word": {},
    "a system message": _talk({"role": "system", "content": "Be brief."}, U),
    "a system message in parts": _talk({"role": "system", "content": [TEXT, TEXT]}, U),
    "two system messages": _talk({"role": "system", "content": "a"}, U, {"role": "system", "content": "b"}),
    "a system message alone": _talk({"role": "system", "content": "a"}),
    "a developer's message": _talk({"role": "developer", "content": "Be brief."}, U),
    "turns": _talk(U, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "More."}),
    "an assistant first": _talk({"role": "assistant", "content": "Hi."}, U),
    "a prefilled answer": _talk(U, {"role": "assistant", "content": "I"}),
    "two of a user in a row": _talk(U, U),
    "text in parts": _user(TEXT, {"type": "text", "text": "And this?"}),
    "an empty text": _talk({"role": "user", "content": ""}),
    "a blank text": _talk({"role": "user", "content": " "}),
    "no messages": _talk(),
    "a name and a null": _talk({"role": "user", "content": "a", "name": "n", "refusal": None}),
    "what is not ASCII": _talk({"role": "user", "content": "né 🙂 \u2028 \\ \" \x00"}),
    "a role nobody knows": _talk({"role": "critic", "content": "a"}),
    "no role": _talk({"content": "a"}),
    "a part nobody knows": _user({"type": "smell", "smell": "a"}),
    "a cached part": _user({**TEXT, "cache_control": {"type": "ephemeral"}}),
    "an image": _user(TEXT, _image(PNG)),
    "an image with detail": _user(_image(PNG, detail="high")),
    "an image in short": _user({"type": "image_url", "image_url": PNG}),
    "an image of a kind that is said": _user(_image(PNG, format="image/webp")),
    "an image that is none": _user(_image("data:what")),
    "a sound": _user({"type": "input_audio", "input_audio": {"data": PIXEL, "format": "wav"}}),
    "a file": _user({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PIXEL}"}}),
    "a file without a file": _user({"type": "file"}),
    "an address": _user(_image("https://example.com/a.png")),
    "tools": {"tools": [LOOK, BARE]},
    "no tools": {"tools": []},
    "tools that must be used": {"tools": [LOOK], "tool_choice": "required"},
    "tools that may be used": {"tools": [LOOK], "tool_choice": "auto"},
    "tools that may not be used": {"tools": [LOOK], "tool_choice": "none"},
    "a tool by name": {"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    "a choice as an object": {"tools": [LOOK], "tool_choice": {"type": "auto"}},
    "a choice of nothing": {"tools": [LOOK], "tool_choice": {"type": "function"}},
    "tools one at a time": {"tools": [LOOK], "parallel_tool_calls": False},
    "tools at once": {"tools": [LOOK, BARE], "parallel_tool_calls": True},
    "functions": {"functions": [LOOK["function"]]},
    "functions and which": {"functions": [LOOK["function"]], "function_call": "auto"},
    "a tool of Google's": {"tools": [{"googleSearch": {}}, {"codeExecution": {}}]},
    "a search": {"web_search_options": {"search_context_size": "low"}},
    "tools of Anthropic's": {
        "tools": [
            {**LOOK, "cache_control": {"type": "ephemeral"}, "defer_loading": True, "eager_input_streaming": True},
            {"type": "function", "function": {"name": "bare", "input_examples": [{"at": 1}]}, "input_examples": [{}]},
        ]
    },
    "a tool result": _talk(U, CALLED, RESULT, tools=[LOOK]),
    "a signed tool call": _talk(U, {**CALLED, "tool_calls": [SIGNED]}, RESULT, tools=[LOOK]),
    "two tool results": _talk(
        U,
        {**CALLED, "content": "I look.", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        RESULT,
        {**RESULT, "tool_call_id": "c2", "content": [TEXT]},
        U,
        tools=[LOOK],
    ),
    "a JSON tool result": _talk(U, CALLED, {**RESULT, "content": '{"door": true}'}),
    "a tool result of no call": _talk(U, RESULT),
    "a broken tool call": _talk(
        U, {**CALLED, "tool_calls": [{**CALL, "function": {"name": "look", "arguments": "{"}}]}
    ),
    "thoughts sent back": _talk(
        U,
        {
            "role": "assistant",
            "content": "yes",
            "reasoning_content": "hm",
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": SIGNATURE}],
            "provider_specific_fields": {"thought_signatures": [SIGNATURE]},
        },
        U,
    ),
    "a JSON object": {"response_format": {"type": "json_object"}},
    "a schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA, "strict": True}}
    },
    "a text format": {"response_format": {"type": "text"}},
    "a schema and a tool": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA}},
        "tools": [LOOK],
    },
    "a stop": {"stop": "end"},
    "six stops": {"stop": ["a", "b", "c", "d", "e", "f"]},
    "all that samples": {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "presence_penalty": 0.1, "frequency_penalty": 0.2,
        "max_tokens": 9, "n": 2,
    },
    "zeros": {"temperature": 0, "top_p": 0, "max_tokens": 0, "presence_penalty": 0.0},
    "a limit by its new name": {"max_completion_tokens": 9},
    "both limits": {"max_completion_tokens": 9, "max_tokens": 8},
    "log probabilities": {"logprobs": True},
    "modalities": {"modalities": ["text", "image"]},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "no thinking": {"thinking": {"type": "disabled"}},
    "thinking in JavaScript's spelling": {"thinking": {"type": "enabled", "budgetTokens": 99}},
    "thinking, yes": {"thinking": True},
    "an effort": {"reasoning_effort": "low"},
    "no effort": {"reasoning_effort": "none"},
    "an effort nobody knows": {"reasoning_effort": "heroic"},
    "safety settings": {
        "safety_settings": [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]
    },
    "a tier": {"service_tier": "flex"},
    "a user": {"user": "u1"},
    "a temperature that is a word": {"temperature": "warm"},
    "messages that are words": {"messages": ["hello"]},
    "tools that are words": {"tools": ["look"]},
    "a tool without a function": {"tools": [{"type": "function"}]},
    "content that is a number": _talk({"role": "user", "content": 3}),
    "parts that are words": _user("hello"),
    "what Gemini cannot do": {"logit_bias": {"1": 1}, "store": True},
    "what nobody can do": {"dance": True},
    "servers of tools": {"tools": [{"type": "mcp", "server_url": "http://h"}]},
    "everything": {
        **_talk(
            {"role": "system", "content": "s"}, U, CALLED, RESULT, {"role": "user", "content": [TEXT, _image(PNG)]}
        ),
        "tools": [LOOK], "tool_choice": "auto", "temperature": 1, "stop": ["x"], "max_tokens": 5, "seed": 1,
    },
}  # fmt: skip
LONG: Final = {"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}
REQUESTS: Final[Sequence[Asked]] = (
    *(Asked(name=name, members=members) for name, members in _PLAIN.items()),
    Asked(name="what Gemini cannot do, dropped", members=_PLAIN["what Gemini cannot do"], drop=True),
    Asked(name="what Gemini cannot do, dropped always", members={"store": True}, params={"drop_params": "true"}),
    *(
        Asked(name=f"{name}, of {model}", members=_PLAIN[name], model=model)
        for model in ("gemini-3-pro-preview", "gemini-1.5-pro", "gemini-2.5-pro", "m", "models/x", "gemma-3-27b-it")
        for name in ("an effort", "thinking", "a signed tool call", "an image with detail", "a schema", "everything")
    ),
    Asked(name="a voice", members={"modalities": ["audio"], "audio": {"voice": "Kore", "format": "pcm16"}},
          model="gemini-2.5-flash-preview-tts"),
    Asked(name="a parameter of the operator's", members={}, params={"top_k": "3"}),
)  # fmt: skip


def _usage(**more: object) -> dict[str, object]:
    return {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15, **more}


def _says(parts: Sequence[object], *, finish: str | None = "STOP", **more: object) -> dict[str, object]:
    said = gemini_says(parts, finish=finish)
    candidates = said["candidates"]
    assert isinstance(candidates, list)
    candidates[0] |= {name: value for name, value in more.items() if name in _OF_A_CANDIDATE}
    return said | {name: value for name, value in more.items() if name not in _OF_A_CANDIDATE}


_OF_A_CANDIDATE: Final = frozenset(
    {"groundingMetadata", "safetyRatings", "citationMetadata", "logprobsResult", "avgLogprobs", "urlContextMetadata",
     "finishMessage", "tokenCount"}
)  # fmt: skip
_HI: Final = {"text": "Hi."}
_THOUGHT: Final = {"text": "Well, now.", "thought": True}
_USES: Final = {"functionCall": {"name": "look", "args": {"at": 1}}}
_DRAWS: Final = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
_GROUNDS: Final = {
    "groundingMetadata": {
        "webSearchQueries": ["a", "b"],
        "groundingChunks": [{"web": {"uri": "https://example.com", "title": "t"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 2, "text": "Hi"}, "groundingChunkIndices": [0]}
        ],
    }
}
_SECOND: Final = {"content": {"role": "model", "parts": [{"text": "Ho."}]}, "index": 1, "finishReason": "STOP"}


def _two() -> dict[str, object]:
    said = _says([_HI])
    candidates = said["candidates"]
    assert isinstance(candidates, list)
    return said | {"candidates": [*candidates, _SECOND]}


ANSWERS: Final[Mapping[str, object]] = {
    "a text": _says([_HI]),
    "a text in parts": _says([_HI, _HI]),
    "an empty text": _says([{"text": ""}]),
    "no parts": _says([]),
    "no content": {"candidates": [{"index": 0, "finishReason": "MAX_TOKENS"}], "usageMetadata": _usage()},
    "thoughts": _says([_THOUGHT, {**_HI, "thoughtSignature": SIGNATURE}]),
    "thoughts alone": _says([_THOUGHT], finish="MAX_TOKENS"),
    "a tool call": _says([_USES]),
    "a signed tool call after words": _says([_THOUGHT, _HI, {**_USES, "thoughtSignature": SIGNATURE}]),
    "two tool calls": _says([_USES, {"functionCall": {"name": "bare"}}]),
    "a picture": _says([_HI, _DRAWS]),
    "a picture alone": _says([_DRAWS]),
    "a sound": _says([{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": PIXEL}}]),
    "code": _says(
        [
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            _HI,
        ]
    ),
    "grounds": _says([_HI], **_GROUNDS),
    "ratings": _says([_HI], safetyRatings=[{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]),
    "citations": _says([_HI], citationMetadata={"citationSources": [{"startIndex": 0, "uri": "https://example.com"}]}),
    "log probabilities": _says(
        [_HI],
        avgLogprobs=-0.5,
        logprobsResult={
            "chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.5}],
            "topCandidates": [{"candidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.5}]}],
        },
    ),
    "two candidates": _two(),
    "a blocked prompt": {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": _usage(), "modelVersion": "m"},
    "a blocked prompt uncounted": {"promptFeedback": {"blockReason": "OTHER"}},
    "cached and by modality": _says([_HI], usageMetadata=_usage(
        cachedContentTokenCount=4, toolUsePromptTokenCount=2, thoughtsTokenCount=3, totalTokenCount=20,
        promptTokensDetails=[{"modality": "TEXT", "tokenCount": 8}, {"modality": "IMAGE", "tokenCount": 2}],
        cacheTokensDetails=[{"modality": "TEXT", "tokenCount": 4}],
        candidatesTokensDetails=[{"modality": "TEXT", "tokenCount": 5}], trafficType="ON_DEMAND",
    )),
    "nothing counted": {"candidates": [{"content": {"parts": [_HI]}, "finishReason": "STOP"}]},
    "another model": _says([_HI], modelVersion="gemini-2.5-flash-002"),
    **{
        f"an end of {end}": _says([_HI], finish=end)
        for end in (
            "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
            "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY", "UNEXPECTED_TOOL_CALL", "FINISH_REASON_UNSPECIFIED", "NEW",
        )
    },
    "an object of nothing": {},
    "a list": [],
    "a word": "hello",
    "an error": {"error": {"code": 429, "message": "Resource exhausted.", "status": "RESOURCE_EXHAUSTED"}},
}  # fmt: skip

SAID: Final = _says([{"text": "Hel"}], finish=None)
COUNTED: Final = _says([{"text": "Hel"}], finish=None, usageMetadata=_usage(candidatesTokenCount=1))
END: Final = _says([])
THINKS: Final = _says([_THOUGHT], finish=None)
STREAMS: Final[Mapping[str, Sequence[object]]] = {
    **{f"one event: {name}": (answer,) for name, answer in ANSWERS.items()},
    **{f"an event, then {name}": (SAID, answer) for name, answer in ANSWERS.items()},
    "words": (SAID, SAID, SAID, END),
    "words counted each": (COUNTED, COUNTED, END),
    "an end with words": (SAID, _says([_HI])),
    "nothing first": (_says([], finish=None), SAID, END),
    "an empty text first": (_says([{"text": ""}], finish=None, usageMetadata=_usage()), SAID, END),
    "thoughts, words": (THINKS, THINKS, SAID, END),
    "thoughts nobody counted": (THINKS, SAID, _says([], usageMetadata=_usage())),
    "thoughts, a signed call": (THINKS, _says([{**_USES, "thoughtSignature": SIGNATURE}], finish=None), END),
    "words, two calls": (SAID, _says([_USES], finish=None), _says([_USES], finish=None), END),
    "a call with its end": (SAID, _says([_USES])),
    "a call, words": (_says([_USES], finish=None), SAID, END),
    "two candidates": (_two(), _two()),
    "the usage alone at the end": (SAID, {"usageMetadata": _usage()}),
    "the usage alone in the middle": (SAID, {"usageMetadata": _usage()}, END),
    "nothing in the middle": (SAID, {}, END),
    "a candidate of nothing": (SAID, {"candidates": [{}]}, END),
    "grounds at the end": (SAID, _says([], **_GROUNDS)),
    "pictures": (SAID, _says([_DRAWS], finish=None), _says([_DRAWS], finish=None), END),
    "a picture first": (_says([_DRAWS], finish=None), SAID, END),
    "a signature at the end": (SAID, _says([{"text": "", "thoughtSignature": SIGNATURE}])),
    "the same a hundred times": (*[SAID] * 150, END),
    "cut off": (SAID, SAID),
    "counts that come and go": (
        _says([_HI], finish=None, usageMetadata=_usage(cachedContentTokenCount=4, thoughtsTokenCount=2)),
        _says([_HI], finish=None, usageMetadata=_usage(thoughtsTokenCount=0)),
        _says([_HI], usageMetadata={"promptTokenCount": 11}),
    ),
    "a count of nothing, then none": (
        _says([_HI], finish=None, usageMetadata={"promptTokenCount": 11, "thoughtsTokenCount": 0}),
        _says([_HI], usageMetadata={"promptTokenCount": 26}),
    ),
    "a picture with a thought": (SAID, _says([_THOUGHT, _DRAWS], finish=None), END),
    "a signed picture": (SAID, _says([{**_DRAWS, "thoughtSignature": SIGNATURE}], finish=None), END),
    "grounds in the middle": (SAID, _says([_HI], finish=None, **_GROUNDS, usageMetadata=_usage()), END),
    "overloaded": (SAID, {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}),
    "an error without a code": ({"error": {"message": "No."}},),
    "an error that is a word": ({"error": "no"},),
}
_FULL: Final = _says([], finish="MAX_TOKENS")
AFTER_THE_END: Final[Mapping[str, Sequence[object]]] = {
    "counts": (SAID, _FULL, {"usageMetadata": _usage()}),
    "nothing": (SAID, _FULL, {}),
    "words": (SAID, _FULL, SAID),
}


def endless(event: object) -> object:
    """Take out what ends an answer: through `acompletion` only the last event may have it."""
    return json.loads(json.dumps(event).replace('"finishReason"', '"was"').replace('"blockReason"', '"was"'))


JSON: Final = ("content-type", "application/json")


def whole(answer: object) -> Reply:
    return Reply(steps=(json.dumps(answer).encode(),), headers=(JSON, ("x-gemini-service-tier", "Flex")))


def streamed(events: Sequence[object], tier: str = "") -> Reply:
    reply = gemini_stream(*[gemini_event(event) for event in events])
    return replace(reply, headers=(*reply.headers, ("x-gemini-service-tier", tier))) if tier else reply
