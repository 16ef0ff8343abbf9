import json

import pytest
from msgspec import Raw
from openai.types.responses import Response

from router.domain.dialects.responses.snapshot import Snapshot
from tests.support.responses import raws

REQUEST = {
    "model": "m",
    "input": "hi",
    "instructions": "be brief",
    "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
    "tool_choice": {"type": "function", "name": "f"},
    "temperature": 0.5,
    "metadata": {"a": "b"},
    "reasoning": {"effort": "low"},
    "text": {"verbosity": "low"},
    "max_output_tokens": 9,
    "store": True,
    "previous_response_id": None,
    "top_p": None,
}


def test_the_request_is_repeated_but_never_said_to_be_stored() -> None:
    snapshot = Snapshot(reply_id="resp_1", created_s=7, request=raws(REQUEST))
    said = json.loads(snapshot.write(status=b"in_progress", model=b'"up"'))

    repeated = ("instructions", "tools", "tool_choice", "temperature", "metadata", "reasoning", "text")
    assert {name: REQUEST[name] for name in repeated} == {name: said[name] for name in repeated}
    assert ("resp_1", 7, "in_progress", "up", False) == tuple(
        said[name] for name in ("id", "created_at", "status", "model", "store")
    )
    assert "input" not in said
    Response.model_validate(said)


@pytest.mark.parametrize("request_", [{}, {"tools": None, "tool_choice": None, "metadata": None, "text": None}])
def test_what_the_request_did_not_say_has_its_default(request_: dict[str, object]) -> None:
    request = raws(request_)
    said = json.loads(Snapshot(reply_id="r", created_s=0, request=request).write(status=b"completed", model=b'"m"'))

    assert ([], "auto", True, {}, {"format": {"type": "text"}}) == tuple(
        said[name] for name in ("tools", "tool_choice", "parallel_tool_calls", "metadata", "text")
    )
    assert (None, None, [], None) == tuple(said[name] for name in ("error", "incomplete_details", "output", "usage"))
    Response.model_validate(said)


def test_a_request_over_several_lines_is_repeated_on_one() -> None:
    tools = b'[\n  {"type": "function",\r\n "name": "f", "x": 123456789012345678901234567890}\n]'
    said = Snapshot(reply_id="r", created_s=0, request={"tools": Raw(tools)}).write(status=b"completed", model=b'"m"')

    assert b"\n" not in said
    assert b"\r" not in said
    assert b'"x":123456789012345678901234567890' in said


def test_how_it_ended_is_said() -> None:
    said = json.loads(
        Snapshot(reply_id='r"', created_s=0, request={}).write(
            status=b"incomplete",
            model=b'"m"',
            service_tier=b'"flex"',
            output=[b'{"a":1}', b'{"b":2}'],
            usage=b'{"c":3}',
            incomplete=b'{"reason":"content_filter"}',
        )
    )

    assert 'r"' == said["id"]
    assert ("flex", [{"a": 1}, {"b": 2}], {"c": 3}, {"reason": "content_filter"}, None) == tuple(
        said[name] for name in ("service_tier", "output", "usage", "incomplete_details", "error")
    )
