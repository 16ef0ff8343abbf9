"""The events that we write ourselves are as good as any provider's."""

import json

from router.domain.stream import length_event


def test_choices_that_are_ended_for_length_say_so_in_one_chunk() -> None:
    event = length_event({1, 0})
    said = json.loads(event.raw.removeprefix(b"data: "))

    assert event.raw.endswith(b"\n\n")
    assert "chat.completion.chunk" == said["object"]
    assert [(0, "length"), (1, "length")] == [(choice["index"], choice["finish_reason"]) for choice in said["choices"]]
