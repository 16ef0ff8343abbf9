from msgspec import Raw

from router.domain.dialects.messages.blocks import Blocks


def raw(text: str) -> Raw:
    return Raw(f'"{text}"'.encode())


def names(blocks: Blocks) -> list[bytes]:
    return [name.removeprefix(b"content_block_") for name, _ in blocks.written()]


def test_a_call_waits_for_its_name() -> None:
    blocks = Blocks("r")
    blocks.call(0, None, None, raw("{"))

    assert [] == names(blocks)

    blocks.call(0, raw("c"), raw("f"), raw("}"))

    assert [
        (b"content_block_start", b'"index":0,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}'),
        (b"content_block_delta", b'"index":0,"delta":{"type":"input_json_delta","partial_json":"{"}'),
        (b"content_block_delta", b'"index":0,"delta":{"type":"input_json_delta","partial_json":"}"}'),
    ] == blocks.written()


def test_a_call_that_is_never_named_is_said_at_the_end() -> None:
    blocks = Blocks("r")
    blocks.call(0, None, None, raw("{}"))
    blocks.close()

    assert b'"id":"toolu_r_0","name":"","input"' in blocks.written()[0][1]


def test_a_whole_call_ends_when_something_else_comes() -> None:
    blocks = Blocks("r")
    blocks.call(0, raw("a"), raw("f"), raw("{}"))
    blocks.text(raw("x"))

    assert [b"start", b"delta", b"stop", b"start", b"delta"] == names(blocks)

    blocks.call(0, None, None, raw(" "))

    assert [] == names(blocks)


def test_whether_a_call_is_whole_is_looked_at_once() -> None:
    blocks = Blocks("r")
    blocks.call(0, raw("a"), raw("f"), raw("{"))
    blocks.text(raw("x"))
    blocks.call(0, None, None, raw("}"))
    blocks.text(raw("y"))
    blocks.call(1, raw("b"), raw("g"), raw("{}"))

    assert [b"start", b"delta", b"delta"] == names(blocks)

    blocks.close()

    assert [b"stop", b"start", b"delta", b"stop", b"start", b"delta", b"stop"] == names(blocks)


def test_a_new_id_with_a_name_at_a_used_index_is_another_call() -> None:
    blocks = Blocks("r")
    blocks.call(0, raw("a"), raw("f"), raw("{}"))
    blocks.call(0, raw("b"), raw("f"), raw("{}"))
    blocks.call(0, raw("z"), None, raw(" "))

    assert [b"start", b"delta", b"stop", b"start", b"delta", b"delta"] == names(blocks)


def test_an_id_that_comes_late_is_taken_while_the_call_waits() -> None:
    blocks = Blocks("r")
    blocks.call(0, raw("a"), raw("f"), None)
    blocks.call(1, None, raw("g"), None)
    blocks.call(1, raw("b"), None, None)
    blocks.close()

    begun = [members for name, members in blocks.written() if name == b"content_block_start"]
    assert [b"a", b"b"] == [members.split(b'"id":"')[1][:1] for members in begun]


def test_thoughts_end_with_their_signature_or_another_index() -> None:
    blocks = Blocks("r")
    blocks.thought(None, raw("a"), None)
    blocks.thought(None, None, raw("s"))
    blocks.thought(None, raw("b"), None)
    blocks.thought(1, raw("c"), None)
    blocks.redacted(raw("d"))
    blocks.redacted(raw("e"))
    blocks.close()

    assert 5 == names(blocks).count(b"start")
