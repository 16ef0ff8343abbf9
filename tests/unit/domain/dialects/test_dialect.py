"""In which dialect a provider is asked."""

import pytest

from router.domain.dialects.dialect import Dialect, spoken_for

CHAT, COMPLETIONS, RESPONSES, MESSAGES, EMBEDDINGS, IMAGES, *_ = Dialect


@pytest.mark.parametrize(
    ("asked", "speaks", "spoken"),
    [
        (CHAT, {CHAT, MESSAGES}, CHAT),
        (MESSAGES, {CHAT, MESSAGES}, MESSAGES),
        (MESSAGES, {CHAT, RESPONSES}, CHAT),
        (MESSAGES, {RESPONSES}, RESPONSES),
        (RESPONSES, {MESSAGES}, MESSAGES),
        (RESPONSES, {CHAT}, CHAT),
        (CHAT, {RESPONSES, MESSAGES}, RESPONSES),
        (CHAT, {EMBEDDINGS, COMPLETIONS}, None),
        (EMBEDDINGS, {CHAT}, None),
        (COMPLETIONS, {CHAT}, None),
        (COMPLETIONS, {COMPLETIONS}, COMPLETIONS),
        (IMAGES, {CHAT, EMBEDDINGS}, None),
        (IMAGES, {CHAT, IMAGES}, IMAGES),
    ],
)
def test_the_callers_own_dialect_goes_before_chat_and_chat_before_the_others(
    asked: Dialect, speaks: set[Dialect], spoken: Dialect | None
) -> None:
    assert spoken == spoken_for(asked, speaks)
