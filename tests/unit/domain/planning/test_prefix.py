"""What is known of a prompt is a beginning of it that was sent, lately, to that target."""

from random import Random  # noqa: TID251 - seeded, so every run is the same

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.ids import TargetId
from router.domain.planning.prefix import (
    BLOCK_BYTES,
    BLOCK_TOKENS,
    CACHE_TTL_NS,
    CHAIN_BLOCKS_MAX,
    Chain,
    Prefixes,
    chain_of,
)

HERE, THERE = TargetId("mock/here"), TargetId("mock/there")


def test_only_whole_blocks_are_named() -> None:
    assert [] == chain_of((b"m", b"x" * (BLOCK_BYTES - 3)))
    assert 1 == len(chain_of((b"m", b"x" * (BLOCK_BYTES - 2))))
    assert CHAIN_BLOCKS_MAX == len(chain_of((b"x" * BLOCK_BYTES * (CHAIN_BLOCKS_MAX + 3),)))


def test_a_prompt_that_goes_on_has_the_same_beginning() -> None:
    turn = b"".join(b'{"role":"user","content":"%d"},' % number for number in range(1_000))
    whole, begun = chain_of((b"m", b"", turn)), chain_of((b"m", b"", turn[:9_000]))

    assert 4 == len(begun)
    assert whole[:4] == begun
    assert len(whole) == len(set(whole))


@given(st.integers(0, 4 * BLOCK_BYTES - 1))
def test_a_block_is_named_by_all_that_comes_before_its_end(at: int) -> None:
    text = bytearray(b"a" * 4 * BLOCK_BYTES)
    before = chain_of((bytes(text),))
    text[at] = ord("b")
    after = chain_of((bytes(text),))

    assert [block < at // BLOCK_BYTES for block in range(4)] == [x == y for x, y in zip(before, after, strict=True)]


def test_names_are_the_same_in_every_process() -> None:
    assert [1867658447, 1041266625] == chain_of((b"x" * 2 * BLOCK_BYTES,))


def test_a_target_has_what_was_sent_to_it_and_no_other_has() -> None:
    prefixes = Prefixes()
    prefixes.sent(HERE, [1, 2, 3], 0)

    assert 3 * BLOCK_TOKENS == prefixes.cached_tokens(HERE, [1, 2, 3, 4], 1)
    assert 2 * BLOCK_TOKENS == prefixes.cached_tokens(HERE, [1, 2, 9, 8], 1)
    assert 0 == prefixes.cached_tokens(HERE, [9, 8, 7], 1)
    assert 0 == prefixes.cached_tokens(HERE, [], 1)
    assert 0 == prefixes.cached_tokens(THERE, [1, 2, 3], 1)


@pytest.mark.parametrize(("tokens", "left"), [(2_000, 2_000 - 2 * BLOCK_TOKENS), (900, 0)])
def test_what_is_not_cached_is_left_to_read(tokens: int, left: int) -> None:
    prefixes = Prefixes()
    prefixes.sent(HERE, [1, 2], 0)

    assert left == prefixes.uncached_tokens(HERE, [1, 2, 3], tokens, 1)
    assert tokens == prefixes.uncached_tokens(THERE, [1, 2, 3], tokens, 1)


def test_what_is_not_used_for_5_minutes_is_gone_and_use_renews_it() -> None:
    prefixes = Prefixes()
    prefixes.sent(HERE, [1, 2, 3], 0)
    prefixes.sent(HERE, [1, 2], CACHE_TTL_NS - 1)

    assert 3 * BLOCK_TOKENS == prefixes.cached_tokens(HERE, [1, 2, 3], CACHE_TTL_NS - 1)
    assert 2 * BLOCK_TOKENS == prefixes.cached_tokens(HERE, [1, 2, 3], CACHE_TTL_NS)
    assert 0 == prefixes.cached_tokens(HERE, [1, 2, 3], 2 * CACHE_TTL_NS - 1)


@given(st.integers(), st.integers(1, 12))
def test_the_longest_known_beginning_is_found_and_state_is_bounded(seed: int, blocks_max: int) -> None:
    draw, prefixes, kept = Random(seed), Prefixes(blocks_max, ttl_ns=20), dict[int, int]()
    for now in range(60):
        chain = _walk(draw)
        expected = next((at for at, name in enumerate(chain) if now - kept.get(name, -99) >= 20), len(chain))
        assert expected * BLOCK_TOKENS == prefixes.cached_tokens(HERE, chain, now)

        prefixes.sent(HERE, chain, now)
        for name in reversed(chain):
            kept.pop(name, None)
            kept[name] = now
        kept = dict(list(kept.items())[-blocks_max:])
        assert len(prefixes._targets[HERE]) <= blocks_max


def _walk(draw: Random) -> Chain:
    """Draw a prompt from a tree: a name says all that came before it."""
    chain, name = list[int](), 1
    for _ in range(draw.randint(0, 6)):
        name = name * 2 + draw.randint(0, 1)
        chain.append(name)
    return chain


def test_a_target_that_lost_its_cache_or_its_place_in_the_configuration_is_forgotten() -> None:
    prefixes = Prefixes()
    for target in (HERE, THERE):
        prefixes.sent(target, [1], 0)
    prefixes.keep([HERE])
    assert (BLOCK_TOKENS, 0) == (prefixes.cached_tokens(HERE, [1], 1), prefixes.cached_tokens(THERE, [1], 1))

    prefixes.forget(HERE)
    prefixes.forget(THERE)
    assert 0 == prefixes.cached_tokens(HERE, [1], 1)
