"""Guard the cost of other dialects than Chat Completions, and of translation, as `test_counted_work` guards its own."""

from pathlib import Path

import pytest

from router.domain.dialects.dialect import Dialect
from tests.unit.test_counted_work import NAMED, counting, router_on


@pytest.mark.parametrize("dialect", NAMED)
async def test_another_dialect_passes_by_at_little_more_than_chat(dialect: Dialect, tmp_path: Path) -> None:
    async with router_on(tmp_path, dialect=dialect) as router:
        await router.named_unary(dialect)
        async with counting() as unary:
            await router.named_unary(dialect)
        await router.named_stream(dialect, 1)
        async with counting() as short:
            await router.named_stream(dialect, 10)
        async with counting() as long:
            await router.named_stream(dialect, 30)

    assert unary.python_calls <= 244, unary.by_function.most_common(20)
    # Of a response its id is read too, and whether its provider keeps it: a later request may name it.
    assert unary.decodes <= (11 if dialect is Dialect.RESPONSES else 8)
    assert (long.python_calls - short.python_calls) / 20 <= 25, long.by_function.most_common(40)
    assert (long.decodes - short.decodes) / 20 <= 1


async def test_a_translated_request_and_chunk_do_no_more_than_they_did(tmp_path: Path) -> None:
    async with router_on(tmp_path, dialect=Dialect.MESSAGES) as router:
        await router.translated_unary()
        async with counting() as unary:
            await router.translated_unary()
        await router.translated_stream(1)
        async with counting() as short:
            await router.translated_stream(10)
        async with counting() as long:
            await router.translated_stream(30)

    assert unary.python_calls <= 322, unary.by_function.most_common(20)
    assert unary.decodes <= 12
    assert (long.python_calls - short.python_calls) / 20 <= 36, long.by_function.most_common(40)
    assert (long.decodes - short.decodes) / 20 <= 2
