import json

from router.domain.dialects.responses.events import Script
from router.domain.dialects.responses.output import COMPLETED, INCOMPLETE, REFUSAL, TEXT, THOUGHT, CallItem, TextItem
from tests.support.responses import told


def kinds(script: Script) -> list[str]:
    return [str(event["type"]).removeprefix("response.") for event in told(script.taken())]


def test_a_message_grows_part_by_part() -> None:
    script = Script()
    item = TextItem(thought=False, index=3, base=b"x", script=script)
    item.grow(TEXT, b"a", b'{"token":"a","logprob":-1}')
    item.grow(TEXT, b"\\u00e9", b'{"token":"e","logprob":-2}')
    item.grow(REFUSAL, b"no", b"")
    done = json.loads(item.end(COMPLETED))

    events = told(script.taken())
    assert [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ] == [str(event["type"]).removeprefix("response.") for event in events]
    probabilities = [{"token": "a", "logprob": -1}, {"token": "e", "logprob": -2}]
    text = {"type": "output_text", "annotations": [], "logprobs": probabilities, "text": "a\u00e9"}
    assert {
        "id": "msg_x_3",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [text, {"type": "refusal", "refusal": "no"}],
    } == done
    assert done == events[-1]["item"]
    assert text == events[5]["part"]
    assert [0, 0, 0, 0, 0, 1, 1, 1, 1] == [event["content_index"] for event in events[1:-1]]
    assert {3} == {event["output_index"] for event in events}
    assert {"msg_x_3"} == {event["item_id"] for event in events[1:-1]}


def test_each_part_has_its_own_text_and_probabilities() -> None:
    item = TextItem(thought=False, index=0, base=b"x", script=Script())
    item.grow(TEXT, b"a", b'{"token":"a"}')
    item.grow(REFUSAL, b"no", b"")
    item.grow(TEXT, b"b", b'{"token":"b"}')

    first, _, last = json.loads(item.end(COMPLETED))["content"]
    assert ("a", [{"token": "a"}]) == (first["text"], first["logprobs"])
    assert ("b", [{"token": "b"}]) == (last["text"], last["logprobs"])


def test_a_thought_is_open_to_read() -> None:
    script = Script()
    item = TextItem(thought=True, index=0, base=b"x", script=script)
    item.grow(THOUGHT, b"h", b"")
    item.grow(THOUGHT, b"m", b"")

    assert {
        "id": "rs_x_0",
        "type": "reasoning",
        "status": "incomplete",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    } == json.loads(item.end(INCOMPLETE))
    assert [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
    ] == kinds(script)


def test_a_call_says_what_came_before_it_was_told_of() -> None:
    script = Script()
    call = CallItem(base=b"x", script=script)
    call.grow(b'{\\"a')
    assert [] == script.taken()

    call.name = b"f"
    call.tell(2)
    call.grow(b'\\":1}')
    done = json.loads(call.end(COMPLETED))

    assert {
        "id": "fc_x_2",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_x_2",
        "name": "f",
        "arguments": '{"a":1}',
    } == done
    assert [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ] == kinds(script)


def test_a_call_keeps_the_id_that_it_has() -> None:
    call = CallItem(base=b"x", script=Script())
    call.call_id = b"toolu_1"
    call.tell(0)

    assert "toolu_1" == json.loads(call.end(COMPLETED))["call_id"]
