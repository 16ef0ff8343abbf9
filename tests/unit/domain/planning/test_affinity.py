"""A conversation is known by its name or its beginning, stays where it is while it may, and is forgotten in time."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from router.domain.catalog import Deployment, Strategy
from router.domain.dialects.dialect import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Grammar
from router.domain.ids import DeploymentId, ProviderId, TargetId
from router.domain.instants import NS_PER_S
from router.domain.planning.affinity import BOUND, BUSY_CALLS, Affinities, Conversation, conversation_of
from router.domain.planning.load import Loads
from router.domain.planning.prefix import Prefixes
from router.domain.planning.ranking import Ask, Known, rank
from tests.support.asked import asked

TTL_NS = 300 * NS_PER_S
SYSTEM = {"role": "system", "content": "You are terse."}
HELLO = {"role": "user", "content": "Hello"}
REPLY = {"role": "assistant", "content": "Hello."}
MORE = {"role": "user", "content": "More"}

FOUR = tuple(
    Deployment(id=DeploymentId(f"mock/{name}"), provider=ProviderId("mock"), upstream_model=name) for name in "abcd"
)


def fields(*messages: object, **members: object) -> dict[str, Raw]:
    return {name: Raw(json.dumps(value).encode()) for name, value in {"messages": messages, **members}.items()}


def known(*messages: object, subject: str = "key", session: str | None = None, **members: object) -> Conversation:
    found = conversation_of(subject, "m", asked(fields(*messages, **members)), session)
    assert found is not None
    return found


def prefer(
    affinities: Affinities,
    conversation: Conversation,
    ranked: tuple[Deployment, ...] = FOUR,
    strategy: Strategy = Strategy.WEIGHTED,
    loads: Loads | None = None,
    now: int = 0,
) -> list[Deployment]:
    return list(affinities.prefer(strategy, ranked, conversation, loads or Loads(), now=now, ttl_ns=TTL_NS))


def pin(affinities: Affinities, conversation: Conversation, target: TargetId, now: int = 0) -> None:
    affinities.pin(conversation, target, now=now, ttl_ns=TTL_NS)


def test_a_conversation_is_known_by_its_beginning_however_far_it_went() -> None:
    opening, turn = known(SYSTEM, HELLO), known(SYSTEM, HELLO, REPLY, MORE)

    assert opening.key == turn.key
    assert (True, False) == (opening.opening, turn.opening)
    assert known(SYSTEM, HELLO, MORE).opening


@pytest.mark.parametrize(
    "other",
    [
        known(HELLO, REPLY),
        known(SYSTEM, MORE, REPLY),
        known(SYSTEM, HELLO, REPLY, subject="other"),
        known(SYSTEM, HELLO, REPLY, tools=[{"type": "function"}]),
        known(SYSTEM, HELLO, REPLY, system="You are terse."),
        known(SYSTEM, HELLO, REPLY, session="s"),
        known(SYSTEM, HELLO, REPLY, prompt_cache_key="s"),
    ],
)
def test_another_beginning_caller_or_name_is_another_conversation(other: Conversation) -> None:
    assert known(SYSTEM, HELLO, REPLY).key != other.key


def test_a_name_goes_before_the_beginning_and_the_prompt_cache_key_before_the_session() -> None:
    named = known(HELLO, prompt_cache_key="s", session="t")

    assert named == known(MORE, REPLY, prompt_cache_key="s")
    assert named == known(MORE, prompt_cache_key=7, session="s")
    assert not named.opening
    assert named != known(HELLO, subject="other", prompt_cache_key="s")
    assert named != conversation_of("key", "n", asked(fields(HELLO, prompt_cache_key="s")))


@pytest.mark.parametrize(
    "messages", [b"[]", b"[1]", b"[", b'[{"role":7}]', b'[{"role":"system"}]', b"[" * 100_000, b'{"role":"user"}']
)
def test_what_has_no_user_message_or_cannot_be_read_is_no_conversation(messages: bytes) -> None:
    assert conversation_of("key", "m", asked({"messages": Raw(messages)})) is None
    assert conversation_of("key", "m", asked({"messages": Raw(messages)}), "named") is not None


def test_no_message_is_needed_to_be_read_as_another_kind_of_text() -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}], "name": None}

    assert known(image).key == known(image, REPLY).key


def test_where_one_part_ends_and_the_next_begins_is_part_of_what_is_known() -> None:
    assert conversation_of("a", "bc", asked(fields(HELLO))) != conversation_of("ab", "c", asked(fields(HELLO)))


def test_of_a_long_beginning_both_ends_and_the_length_are_known() -> None:
    def saying(content: str) -> Conversation:
        return known({"role": "user", "content": content}, REPLY)

    long = "a" * 10_000
    assert saying(long).key != saying(long + "a").key
    assert saying("b" + long).key != saying("a" + long).key != saying(long + "b").key
    assert known(HELLO, tools=["a" * 10_000]).key != known(HELLO, tools=["a" * 10_001]).key
    assert known(HELLO, tools=["a" * 10_000]).key != known(HELLO, system="a" * 10_000).key
    assert known(HELLO, system="a").key != known(HELLO, instructions="a").key


def test_a_conversation_has_one_draw_in_every_process() -> None:
    assert (0.707126, 0.855088) == (round(known(HELLO, session="s").draw, 6), round(known(HELLO, REPLY).draw, 6))
    assert known(HELLO, session="s").draw != known(HELLO, session="s", subject="other").draw
    affinities = Affinities()
    assert 0.5 == affinities.draw(Conversation(1, draw=0.5), 0.9)
    assert 0.9 == affinities.draw(Conversation(1, opening=True, draw=0.5), 0.9)


def test_conversations_whose_names_are_alike_are_spread() -> None:
    at = Known(Loads(), Prefixes())
    draws = [known(HELLO, session=f"session-{number}").draw for number in range(1_000)]
    shares = Counter(rank(Strategy.WEIGHTED, FOUR, Ask(0, draw), at)[0].id for draw in draws)

    assert all(0.0 <= draw < 1.0 for draw in draws)
    assert 200 < min(shares.values()) <= max(shares.values()) < 300


def test_a_conversation_stays_where_it_is_and_the_others_keep_their_order() -> None:
    affinities, conversation = Affinities(), Conversation(1)
    pin(affinities, conversation, FOUR[2].target)

    assert [FOUR[2], FOUR[0], FOUR[1], FOUR[3]] == prefer(affinities, conversation)
    assert [FOUR[0], FOUR[1], FOUR[3]] == prefer(affinities, conversation, (FOUR[0], FOUR[1], FOUR[3]))
    assert [FOUR[2]] == prefer(affinities, conversation, (FOUR[2],))


def test_asking_changes_nothing() -> None:
    affinities, conversation = Affinities(), Conversation(1)
    for _ in range(3):
        prefer(affinities, conversation)
    assert 0 == len(affinities)

    pin(affinities, conversation, FOUR[0].target)
    prefer(affinities, conversation, now=TTL_NS - 1)
    assert affinities.find(conversation, TTL_NS - 1, TTL_NS) == FOUR[0].target
    assert affinities.find(conversation, TTL_NS, TTL_NS) is None


def test_use_renews_a_place_and_silence_loses_it() -> None:
    affinities, conversation = Affinities(), Conversation(1)
    pin(affinities, conversation, FOUR[3].target)
    pin(affinities, conversation, FOUR[3].target, now=TTL_NS - 1)
    assert FOUR[3] == prefer(affinities, conversation, now=2 * TTL_NS - 2)[0]
    assert FOUR[0] == prefer(affinities, conversation, now=2 * TTL_NS - 1)[0]

    pin(affinities, Conversation(2), FOUR[0].target, now=2 * TTL_NS - 1)
    assert 1 == len(affinities)


def test_what_moved_stays_where_it_moved_to() -> None:
    affinities, conversation = Affinities(), Conversation(1)
    pin(affinities, conversation, FOUR[2].target)
    pin(affinities, conversation, FOUR[1].target)

    assert FOUR[1] == prefer(affinities, conversation)[0]
    assert Counter({FOUR[1].target: 1}) == affinities._count


def test_openings_neither_follow_nor_move_what_began_alike() -> None:
    affinities, opening, turn = Affinities(), Conversation(1, opening=True), Conversation(1)
    pin(affinities, opening, FOUR[2].target)
    assert FOUR[0] == prefer(affinities, opening)[0]

    pin(affinities, opening, FOUR[0].target)
    assert FOUR[2] == prefer(affinities, turn)[0]


def test_expected_ttft_weighs_what_is_cached_itself() -> None:
    affinities, conversation = Affinities(), Conversation(1)
    pin(affinities, conversation, FOUR[2].target)

    assert list(FOUR) == prefer(affinities, conversation, strategy=Strategy.EXPECTED_TTFT)


@given(st.lists(st.integers(0, 3), max_size=60), st.sampled_from([Strategy.WEIGHTED, Strategy.LEAST_BUSY]))
def test_new_conversations_go_where_no_more_than_their_bound_are(firsts: list[int], strategy: Strategy) -> None:
    affinities = Affinities()
    for number, first in enumerate(firsts):
        ranked = (*FOUR[first:], *FOUR[:first])
        chosen = prefer(affinities, Conversation(number), ranked, strategy)
        assert sorted(each.id for each in FOUR) == sorted(each.id for each in chosen)
        pin(affinities, Conversation(number), chosen[0].target)
        fair = (number + 1) / 4
        assert max(affinities._count.values()) < BOUND * fair + 1


def test_conversations_that_are_over_take_no_room() -> None:
    affinities = Affinities()
    for number in range(8):
        pin(affinities, Conversation(number), FOUR[0].target)

    assert FOUR[1] == prefer(affinities, Conversation(99), now=TTL_NS - 1)[0]
    assert FOUR[0] == prefer(affinities, Conversation(99), now=TTL_NS)[0]


def test_bounds_follow_the_weights() -> None:
    affinities = Affinities()
    heavy, light = (
        Deployment(id=DeploymentId(name), provider=ProviderId("p"), upstream_model=name, weight=weight)
        for name, weight in (("heavy", 9.0), ("light", 1.0))
    )
    for number in range(1_000):
        chosen = prefer(affinities, Conversation(number), (light, heavy))[0]
        pin(affinities, Conversation(number), chosen.target)

    assert 125 == affinities._count[light.target]


@pytest.mark.parametrize("strategy", [Strategy.COST, Strategy.LATENCY])
def test_strategies_with_reasons_of_their_own_place_as_many_as_they_like(strategy: Strategy) -> None:
    affinities = Affinities()
    for number in range(20):
        pin(affinities, Conversation(number), prefer(affinities, Conversation(number), strategy=strategy)[0].target)

    assert {FOUR[0].target: 20} == affinities._count


def test_a_conversation_leaves_a_target_that_is_much_busier_than_the_others() -> None:
    affinities, conversation, loads = Affinities(), Conversation(1), Loads()
    pin(affinities, conversation, FOUR[2].target)
    calls = [loads.started(FOUR[2].target, 0, 0) for _ in range(2 * BUSY_CALLS)]
    assert FOUR[2] == prefer(affinities, conversation, loads=loads)[0]

    loads.started(FOUR[2].target, 0, 0)
    assert list(FOUR) == prefer(affinities, conversation, loads=loads)

    for call in calls:
        call.ended(1)
    assert FOUR[2] == prefer(affinities, conversation, loads=loads)[0]


def test_a_conversation_leaves_a_deployment_that_is_being_emptied() -> None:
    affinities, conversation = Affinities(), Conversation(1)
    emptied = Deployment(id=DeploymentId("e"), provider=ProviderId("p"), upstream_model="e", weight=0)
    pin(affinities, conversation, emptied.target)

    assert [FOUR[0], FOUR[1], emptied] == prefer(affinities, conversation, (FOUR[0], FOUR[1], emptied))
    nothing_else = (emptied, Deployment(id=DeploymentId("f"), provider=ProviderId("p"), upstream_model="f", weight=0))
    assert list(nothing_else) == prefer(affinities, conversation, nothing_else)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=80))
def test_memory_is_bounded_and_the_counts_are_those_of_the_places(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    affinities, now, used = Affinities(pins_max=8), 0, dict[int, int]()
    for key, target, passed, opening in steps:
        now += passed * NS_PER_S
        affinities.pin(Conversation(key, opening), FOUR[target].target, now=now, ttl_ns=20 * NS_PER_S)
        used = {each: at for each, at in used.items() if now - at < 20 * NS_PER_S}
        if not (opening and key in used):
            used.pop(key, None)
            used = dict(list({**used, key: now}.items())[-8:])
        assert used == {each: pin.used_at for each, pin in affinities._pins.items()}
        assert affinities._count == Counter(pin.target for pin in affinities._pins.values())

    affinities.keep([FOUR[0].target])
    assert set(affinities._count) <= {FOUR[0].target}
    assert len(affinities) == affinities._count.total()


def talk(grammar: Grammar, **members: object) -> Conversation | None:
    raws = {name: Raw(json.dumps(value).encode()) for name, value in members.items()}
    return conversation_of("key", "m", asked(raws, grammar=grammar))


HI = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello"}


@pytest.mark.parametrize(("grammar", "member"), [(MESSAGES, "messages"), (RESPONSES, "input"), (CHAT, "messages")])
def test_a_conversation_is_known_by_its_beginning_in_every_dialect(grammar: Grammar, member: str) -> None:
    begun, later = talk(grammar, **{member: [HI]}), talk(grammar, **{member: [HI, ANSWER, {**HI, "content": "more"}]})

    assert begun is not None
    assert later is not None
    assert (begun.key, True, False) == (later.key, begun.opening, later.opening)


def test_instructions_are_a_part_of_the_beginning() -> None:
    assert talk(RESPONSES, input=[HI]) != talk(RESPONSES, input=[HI], instructions="Be terse.")


def test_a_text_alone_opens_a_conversation_and_a_batch_is_none() -> None:
    opened = talk(RESPONSES, input="hi")

    assert opened is not None
    assert opened.opening
    assert talk(EMBEDDINGS, input=["hi"]) is talk(COMPLETIONS, prompt="hi") is None
