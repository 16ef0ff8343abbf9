"""Whoever may not administer sees nothing; groupings, moments and limits are read, or refused by name."""

import pytest

from router.admin.usage import AskedUsage, UsageAdmin, groupings
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.ledger import LedgerUnavailable
from router.ports.usage import GROUPS_MAX, UsageQuery
from tests.support.fakes import principal
from tests.support.usage import FixedUsage

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))


async def test_what_is_asked_for_is_added_up() -> None:
    usage = FixedUsage()
    asked = AskedUsage(
        by=["team", "day"], key="k", team="o/t", agent="a", workflow="w", model="m", since="1", until="2", limit=7
    )
    told = await UsageAdmin(usage).report(BOSS, asked)
    query = UsageQuery(
        by=("team", "day"),
        key="k",
        team="o/t",
        agent="a",
        workflow="w",
        model="m",
        since_ns=10**9,
        until_ns=2 * 10**9,
        limit=7,
    )

    assert ([query], ("team", "day"), usage.report) == (usage.asked, told.by, told.report)


@pytest.mark.parametrize(
    ("texts", "read"),
    [
        (["key"], ("key",)),
        (["key, model", "day"], ("key", "model", "day")),
        (["tag", "workflow"], ("tag", "workflow")),
    ],
)
def test_groupings_are_repeated_or_separated_by_commas(texts: list[str], read: tuple[str, ...]) -> None:
    assert read == groupings(texts)


@pytest.mark.parametrize("by", [[""], ["key,"], ["hour"], ["key", "key"], ["key", "team", "user", "agent"]])
async def test_what_is_no_grouping_is_refused_by_name(by: list[str]) -> None:
    usage = FixedUsage()
    with pytest.raises(RouterError) as refused:
        await UsageAdmin(usage).report(BOSS, AskedUsage(by=by))

    assert (Fault.INVALID_REQUEST, "group_by") == (refused.value.refusal.fault, refused.value.refusal.param)
    assert [] == usage.asked


@pytest.mark.parametrize(("limit", "groups"), [(10**30, GROUPS_MAX), (0, 1), (-5, 1), (7, 7)])
async def test_a_limit_is_brought_into_its_bounds(limit: int, groups: int) -> None:
    usage = FixedUsage()
    await UsageAdmin(usage).report(BOSS, AskedUsage(limit=limit))

    assert groups == usage.asked[0].limit


@pytest.mark.parametrize("param", ["since", "until"])
async def test_a_moment_that_is_none_is_refused_by_name(param: str) -> None:
    with pytest.raises(RouterError) as refused:
        await UsageAdmin(FixedUsage()).report(BOSS, AskedUsage(**{param: "yesterday"}))  # type: ignore[arg-type]  # text

    assert param == refused.value.refusal.param


async def test_only_administrators_look() -> None:
    usage = FixedUsage()
    with pytest.raises(RouterError) as refused:
        await UsageAdmin(usage).report(principal(), AskedUsage(by=["nonsense"]))

    assert (Fault.PERMISSION_DENIED, []) == (refused.value.refusal.fault, usage.asked)


async def test_a_ledger_that_cannot_be_read_is_told() -> None:
    with pytest.raises(RouterError) as refused:
        await UsageAdmin(FixedUsage(LedgerUnavailable("broken by the test"))).report(BOSS, AskedUsage())

    assert Fault.OVERLOADED == refused.value.refusal.fault
