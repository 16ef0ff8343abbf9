import json

import msgspec
import pytest
from msgspec import Raw

from router.domain.dialects.responses.events import (
    Script,
    between,
    body,
    body_of_text,
    one_line,
    usage_for_chat,
    usage_for_responses,
)
from router.domain.dialects.sse_payload import read
from router.domain.stream import END_EVENT, EventKind

FIELDS = msgspec.json.Decoder(dict[str, Raw])


def test_events_are_named_and_numbered() -> None:
    script = Script()
    script.say(b"response.created", b'"a":1')
    script.hand_on(END_EVENT)
    script.say(b"response.completed", b'"b":2')

    first, end, second = script.taken()
    assert b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"a":1}\n\n' == first.raw
    assert EventKind.CHUNK is first.kind
    assert END_EVENT is end
    assert b'"sequence_number":1,"b":2}\n\n' in second.raw
    assert [] == script.taken()


def test_a_muted_script_keeps_nothing() -> None:
    script = Script()
    script.mute()
    script.say(b"response.created", b'"a":1')

    assert [] == script.taken()


def test_half_a_pair_comes_out_as_it_came() -> None:
    found = read(FIELDS, b'{"x":"a\\ud83d"}')["x"]

    assert b"a\\ud83d" == body(found)


@pytest.mark.parametrize("nothing", [b"", b"null", b"7", b"{}"])
def test_only_strings_and_arrays_have_something_between(nothing: bytes) -> None:
    assert b"" == body(Raw(nothing))
    assert b"" == between(Raw(nothing))


def test_strings_keep_their_escapes_and_json_its_numbers_on_one_line() -> None:
    assert b"\\u00e9\\/" == body(Raw(b'"\\u00e9\\/"'))
    assert b'{"a":1},{"b":2}' == between(Raw(b'[{"a":1},\r\n{"b":2}]'))
    assert b'{"a":1.0e5,"b":"\\u00e9\\n"}' == one_line(Raw(b'{\n  "a": 1.0e5,\r\n  "b": "\\u00e9\\n"\n}'))
    assert b'a\\"b' == body_of_text('a"b')


def test_usage_keeps_cached_and_reasoning_tokens_inside_their_sums() -> None:
    chat = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    responses = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 150,
    }

    assert responses == json.loads(usage_for_responses(Raw(json.dumps(chat).encode())))
    assert chat == json.loads(usage_for_chat(Raw(json.dumps(responses).encode())))


@pytest.mark.parametrize("usage", [b"", b"null", b"{}", b"[]"])
def test_usage_that_nobody_told_is_null(usage: bytes) -> None:
    assert b"null" == usage_for_responses(Raw(usage))
    assert b"null" == usage_for_chat(Raw(usage))
