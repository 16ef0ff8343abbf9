"""Only administrators look at limits; pages go through every limit in force once, each as it stands."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from router.admin.limits import PAGE_LIMITS_MAX, LimitAdmin, LimitState
from router.domain.catalog import Model, Snapshot
from router.domain.faults import Fault, RouterError
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Smoothing, Standing, Unit
from router.domain.ids import DeploymentId, KeyId, ModelName, ProviderId
from router.domain.principal import Bounds, KeyEntry, Permission, Principal
from router.ports.limit_states import UpstreamStanding
from tests.support.fakes import SECOND, FixedSnapshots, deployment, principal, snapshot

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))


class Standings:
    """A `LimitStates` where of every rate 7 are left, under every other limit 2 calls run, and providers said this."""

    def __init__(self, *upstreams: UpstreamStanding) -> None:
        self._upstreams = upstreams
        self.asked = 0

    def standing(self, limit: RateLimit) -> Standing:
        self.asked += 1
        return Standing(limit.unit, limit.limit, 7, SECOND)

    def in_use(self, _limit: ConcurrencyLimit) -> int:
        return 2

    def upstreams(self) -> Sequence[UpstreamStanding]:
        return self._upstreams


def rate(kind: str, value: str, unit: Unit = Unit.REQUESTS, **more: Smoothing) -> RateLimit:
    name = f"{kind}/{value}/{unit.name}"
    return RateLimit(id=name, scope_kind=kind, scope_value=value, unit=unit, limit=9, period_ns=60 * SECOND, **more)


def places(kind: str, value: str) -> ConcurrencyLimit:
    return ConcurrencyLimit(id=f"{kind}/{value}/concurrency", scope_kind=kind, scope_value=value, limit=3)


def entry(name: str, *limits: RateLimit, revoked: bool = False) -> KeyEntry:
    who = Principal(key_id=KeyId(name), rate_limits=limits, concurrency_limits=(places("key", name),))
    return KeyEntry(sha256=name.encode(), principal=who, revoked=revoked)


TEAM = rate("team", "acme/ml", Unit.INPUT_TOKENS, smoothing=Smoothing.LEAKY)
ENTRIES = (
    entry("b", rate("key", "b"), TEAM),
    entry("a", TEAM),
    entry("gone", rate("key", "gone"), revoked=True),
)
LIMITED = replace(deployment(), rate_limits=(rate("deployment", "up:m", Unit.TOKENS),))
SNAPSHOT = replace(
    snapshot(),
    keys={one.sha256: one for one in ENTRIES},
    users={"ann": Bounds(rate_limits=(rate("user", "ann", Unit.OUTPUT_TOKENS),))},
    models={ModelName(name): Model(name=ModelName(name), deployments=(LIMITED,)) for name in ("m", "n")},
)
ALL = [
    ("deployment", "up:m", "tpm"),
    ("key", "a", "concurrency"),
    ("key", "b", "concurrency"),
    ("key", "b", "rpm"),
    ("team", "acme/ml", "input_tpm"),
    ("user", "ann", "output_tpm"),
]


def admin_of(in_force: Snapshot = SNAPSHOT, *upstreams: UpstreamStanding) -> LimitAdmin:
    return LimitAdmin(states=Standings(*upstreams), snapshots=FixedSnapshots(in_force))


def named(limits: Sequence[LimitState]) -> list[tuple[str, str, str]]:
    return [(one.scope_kind, one.scope_value, one.limit) for one in limits]


@pytest.mark.parametrize("limit", [1, 2, 4, 6, 7])
def test_pages_go_through_all_limits_once(limit: int) -> None:
    admin = admin_of()
    seen, after, pages = [], None, 0
    while True:
        page = admin.list(BOSS, after=after, limit=limit)
        seen += named(page.limits)
        pages += 1
        if page.next is None:
            break
        after = page.next

    assert (ALL, -(-len(ALL) // limit)) == (seen, pages)


def test_a_rate_says_what_remains_and_places_how_many_are_taken() -> None:
    taken, team = (admin_of().list(BOSS, kind=kind, limit=1).limits[0] for kind in ("key", "team"))

    assert LimitState(scope_kind="key", scope_value="a", limit="concurrency", limit_value=3, in_use=2) == taken
    assert (
        LimitState(
            scope_kind="team",
            scope_value="acme/ml",
            limit="input_tpm",
            limit_value=9,
            remaining=7,
            reset_ns=SECOND,
            smoothing=Smoothing.LEAKY,
        )
        == team
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("key", None, ALL[1:4]),
        ("key", "b", ALL[2:4]),
        (None, "ann", ALL[5:]),
        ("user", "b", []),
        ("organization", None, []),
    ],
)
def test_limits_are_narrowed_down_by_scope(
    kind: str | None, value: str | None, expected: list[tuple[str, str, str]]
) -> None:
    assert expected == named(admin_of().list(BOSS, kind=kind, value=value).limits)


def test_a_page_goes_on_though_the_limit_where_the_last_ended_is_gone() -> None:
    snapshots = FixedSnapshots(SNAPSHOT)
    admin = LimitAdmin(states=Standings(), snapshots=snapshots)
    after = admin.list(BOSS, limit=3).next
    snapshots.current = replace(SNAPSHOT, keys={b"a": ENTRIES[1]})

    assert ALL[4:] == named(admin.list(BOSS, after=after).limits)
    assert [*ALL[:2], *ALL[4:]] == named(admin.list(BOSS).limits)


def test_only_limits_of_the_page_are_looked_at() -> None:
    states = Standings()
    LimitAdmin(states=states, snapshots=FixedSnapshots(SNAPSHOT)).list(BOSS, limit=1)

    assert 1 == states.asked


@pytest.mark.parametrize(("limit", "count"), [(10**30, PAGE_LIMITS_MAX), (0, 1), (-1, 1), (7, 7)])
def test_a_limit_is_brought_into_its_bounds(limit: int, count: int) -> None:
    users = {str(number): Bounds(rate_limits=(rate("user", str(number)),)) for number in range(PAGE_LIMITS_MAX + 1)}
    said = [upstream(number) for number in range(PAGE_LIMITS_MAX + 1)]
    admin = admin_of(replace(snapshot(), users=users), *said)

    assert count == len(admin.list(BOSS, limit=limit).limits) == len(admin.upstreams(BOSS, limit=limit).upstreams)


def upstream(number: int) -> UpstreamStanding:
    name = DeploymentId(f"up:{number:04}")
    return UpstreamStanding(deployment=name, credential="default", provider=ProviderId("up"), blocked_ns=0, left=())


def test_pages_go_through_all_providers_once() -> None:
    said = [upstream(number) for number in range(3)]
    admin = admin_of(SNAPSHOT, *said)
    first = admin.upstreams(BOSS, limit=2)
    last = admin.upstreams(BOSS, after=first.next, limit=2)

    assert (said[:2], said[2:], None) == ([*first.upstreams], [*last.upstreams], last.next)


def test_only_kinds_that_limits_have_are_asked_for() -> None:
    with pytest.raises(RouterError) as refused:
        admin_of().list(BOSS, kind="agent")

    assert (Fault.INVALID_REQUEST, "kind") == (refused.value.refusal.fault, refused.value.refusal.param)


@pytest.mark.parametrize("after", ["7", "!", "bnVsbA", "WyJhIl0", "é", "_w", "W10"])
def test_a_place_that_no_page_named_is_refused(after: str) -> None:
    for ask in (admin_of().list, admin_of().upstreams):
        with pytest.raises(RouterError) as refused:
            ask(BOSS, after=after)

        assert (Fault.INVALID_REQUEST, "after") == (refused.value.refusal.fault, refused.value.refusal.param)


def test_only_administrators_look() -> None:
    for ask in (admin_of().list, admin_of().upstreams):
        with pytest.raises(RouterError) as refused:
            ask(principal())

        assert Fault.PERMISSION_DENIED == refused.value.refusal.fault
