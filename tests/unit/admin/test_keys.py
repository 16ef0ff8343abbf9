"""Keys are made, changed and ended as their administrators say; secrets are shown once and kept nowhere."""

import asyncio
import hashlib
import json

import msgspec
import pytest

from router.admin.keys import SECRETS_MAX, KeyAdmin, KeyState
from router.domain.faults import Fault, RouterError
from router.domain.ids import KeyId
from router.domain.principal import Permission, Principal
from router.ports.keys import SettingsRefused
from tests.support.fakes import SECOND, FakeClock
from tests.support.keys import MemoryKeys, PlainRules, stored

BOSS = Principal(key_id=KeyId("boss"), permissions=frozenset({Permission.ADMIN}))
USER = Principal(key_id=KeyId("user"))


class Desk:
    """The service over fakes. `in_force` is the revision that was brought in force last."""

    def __init__(self) -> None:
        self.store = MemoryKeys()
        self.clock = FakeClock()
        self.in_force = 0
        self.rules = PlainRules(filed='{"name":"filed"}')
        self.turn = asyncio.Lock()
        self._drawn = 0
        self.admin = KeyAdmin(
            store=self.store,
            rules=self.rules,
            refresh=self._refresh,
            clock=self.clock,
            draw_bytes=self._draw,
            turn=self.turn,
        )

    async def _refresh(self) -> None:
        assert self.turn.locked()
        self.in_force = self.store._revision

    def _draw(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(1, "big") * count

    async def create(self, **members: object) -> str:
        issued = await self.admin.create(BOSS, json.dumps({"name": "ci", **members}).encode())
        return issued.secret.reveal()

    async def rotate(self, overlap_s: int) -> tuple[str, tuple[int | None, ...]]:
        issued = await self.admin.rotate(BOSS, "ci", overlap_ns=overlap_s * SECOND)
        return issued.secret.reveal(), issued.key.secrets_until_ns

    def digests(self) -> list[str]:
        return [one.sha256 for one in self.store.rows["ci"].secrets]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def refusal(asked: object) -> tuple[Fault, str]:
    with pytest.raises(RouterError) as refused:
        await asked  # type: ignore[misc]  # any of the service's answers
    return refused.value.refusal.fault, refused.value.refusal.message


async def test_a_new_key_is_in_force_and_only_its_digest_is_kept(desk: Desk) -> None:
    issued = await desk.admin.create(BOSS, b'{"name":"ci","models":["small"]}')

    prefix, public_id, hidden = issued.secret.reveal().split("-")
    assert ("sk", issued.key.public_id, 12, 52) == (prefix, public_id, len(public_id), len(hidden))
    assert [digest(issued.secret.reveal())] == desk.digests()
    assert {"name": "ci", "models": ["small"]} == json.loads(issued.key.settings_json)
    assert 1 == desk.in_force
    kept = repr((desk.store.rows, desk.store.changes, issued))
    assert hidden not in kept


async def test_every_change_is_on_record_without_secrets_and_digests(desk: Desk) -> None:
    secret = await desk.create()
    await desk.admin.update(BOSS, "ci", b'{"models":["small"]}')
    await desk.rotate(60)
    await desk.admin.revoke(BOSS, "ci")
    rows = await desk.admin.history(BOSS, "ci")

    assert ["revoke", "rotate", "update", "create"] == [row.change.action for row in rows]
    assert {"boss"} == {row.change.actor for row in rows}
    update = rows[2].change
    assert {"name": "ci"} == json.loads(update.before or "")["settings"]
    assert {"name": "ci", "models": ["small"]} == json.loads(update.after or "")["settings"]
    assert digest(secret) not in repr(rows)
    assert 1 == len(await desk.admin.history(BOSS, "ci", limit=-5))


async def test_an_update_leaves_what_it_does_not_name(desk: Desk) -> None:
    await desk.create(models=["small"], limits={"rpm": 5, "tpm": 6})
    facts = await desk.admin.update(BOSS, "ci", b'{"limits":{"rpm":7},"models":null}')

    assert {"name": "ci", "limits": {"rpm": 7, "tpm": 6}} == json.loads(facts.settings_json)


async def test_an_old_secret_works_for_the_overlap_and_never_longer_than_it_was_told(desk: Desk) -> None:
    first, now = await desk.create(), desk.clock.wall_ns()
    second, until = await desk.rotate(60)
    assert (None, now + 60 * SECOND) == until
    assert [digest(second), digest(first)] == desk.digests()

    assert (None, now + 90 * SECOND, now + 60 * SECOND) == (await desk.rotate(90))[1]
    desk.clock.pass_ns(61 * SECOND)
    shown, _ = await desk.admin.show(BOSS, "ci")
    assert (None, now + 90 * SECOND) == shown.secrets_until_ns
    last, until = await desk.rotate(0)
    assert (None,) == until
    assert [digest(last)] == desk.digests()


async def test_secrets_that_work_together_are_bounded(desk: Desk) -> None:
    await desk.create()
    for _ in range(SECRETS_MAX - 1):
        await desk.rotate(60)

    fault, message = await refusal(desk.rotate(60))
    assert (Fault.CONFLICT, True) == (fault, "overlap" in message)
    assert SECRETS_MAX == len(desk.digests())
    assert Fault.INVALID_REQUEST is (await refusal(desk.rotate(-1)))[0]
    assert Fault.INVALID_REQUEST is (await refusal(desk.rotate(91 * 86_400)))[0]


async def test_a_revoked_key_stays_so(desk: Desk) -> None:
    await desk.create()
    assert KeyState.REVOKED is (await desk.admin.revoke(BOSS, "ci")).state
    revision = await desk.store.revision()

    assert KeyState.REVOKED is (await desk.admin.revoke(BOSS, "ci")).state
    assert revision == await desk.store.revision()
    assert Fault.CONFLICT is (await refusal(desk.admin.update(BOSS, "ci", b'{"revoked":false}')))[0]
    assert Fault.CONFLICT is (await refusal(desk.rotate(1)))[0]
    assert "used once" in (await refusal(desk.create()))[1]


async def test_a_key_is_found_by_its_name_or_its_id(desk: Desk) -> None:
    secret = await desk.create()
    by_id, limits = await desk.admin.show(BOSS, secret.split("-")[1])

    assert ("ci", ["rpm"]) == (by_id.name, [one.limit for one in limits])
    fault, message = await refusal(desk.admin.show(BOSS, secret))
    assert (Fault.NOT_FOUND, False) == (fault, secret in message)


async def test_a_key_past_its_end_is_expired(desk: Desk) -> None:
    await desk.create(expires=desk.clock.wall_ns() + SECOND)
    assert KeyState.ACTIVE is (await desk.admin.show(BOSS, "ci"))[0].state
    desk.clock.pass_ns(SECOND)

    assert KeyState.EXPIRED is (await desk.admin.show(BOSS, "ci"))[0].state


async def test_keys_are_listed_in_pages_those_of_the_file_included(desk: Desk) -> None:
    for name in ("a", "z"):
        await desk.create(name=name)
    first = await desk.admin.list(BOSS, limit=2)
    second = await desk.admin.list(BOSS, after=first.after, limit=10**9)

    assert [("a", "store"), ("filed", "file")] == [(key.name, key.source) for key in first.keys]
    assert (["z"], None) == ([key.name for key in second.keys], second.after)


async def test_keys_of_the_file_are_left_alone(desk: Desk) -> None:
    attempts = [
        desk.create(name="filed"),
        desk.admin.update(BOSS, "filed", b"{}"),
        desk.admin.rotate(BOSS, "filed", overlap_ns=0),
        desk.admin.revoke(BOSS, "filed"),
    ]
    for attempt in attempts:
        fault, message = await refusal(attempt)
        assert (Fault.CONFLICT, True) == (fault, "configuration file" in message)


async def test_only_administrators_get_anything(desk: Desk) -> None:
    await desk.create()
    attempts = [
        desk.admin.list(USER),
        desk.admin.show(USER, "ci"),
        desk.admin.history(USER, "ci"),
        desk.admin.create(USER, b"{"),
        desk.admin.update(USER, "ci", b"{"),
        desk.admin.rotate(USER, "ci", overlap_ns=0),
        desk.admin.revoke(USER, "ci"),
    ]

    assert {Fault.PERMISSION_DENIED} == {(await refusal(attempt))[0] for attempt in attempts}
    assert 1 == await desk.store.revision()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"[" * 30_000, "not a JSON object"),
        (b"{}", "`name` is missing"),
        (b'{"name":"x","key":"sk-mine-1234"}', "Leave it out"),
        (b'{"name":"x","key_sha256":"00"}', "Leave it out"),
    ],
)
async def test_a_body_that_is_no_key_is_refused(body: bytes, said: str, desk: Desk) -> None:
    fault, message = await refusal(desk.admin.create(BOSS, body))

    assert (Fault.INVALID_REQUEST, True) == (fault, said in message), message
    assert {} == desk.store.rows


async def test_settings_are_refused_with_the_member_that_is_wrong(desk: Desk) -> None:
    with pytest.raises(RouterError) as refused:
        await desk.admin.create(BOSS, b"{}")

    assert "name" == refused.value.refusal.param


async def test_a_key_keeps_its_name(desk: Desk) -> None:
    await desk.create()

    assert "keeps its name" in (await refusal(desk.admin.update(BOSS, "ci", b'{"name":"cd"}')))[1]


async def test_a_store_out_of_reach_is_said_without_its_place(desk: Desk) -> None:
    desk.store.broken = True
    fault, message = await refusal(desk.create())

    assert (Fault.OVERLOADED, False) == (fault, "secret/place" in message)


async def test_a_change_that_somebody_else_overtook_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.create()
    stale = await desk.store.read()
    await desk.admin.update(BOSS, "ci", b'{"x":1}')

    async def read() -> object:
        return stale

    monkeypatch.setattr(desk.store, "read", read)

    assert "changed meanwhile" in (await refusal(desk.admin.update(BOSS, "ci", b'{"x":2}')))[1]


async def test_settings_that_somebody_broke_are_shown_as_such_and_can_be_revoked(desk: Desk) -> None:
    desk.store.rows["ci"] = msgspec.structs.replace(stored("ci"), settings_json="{}")
    facts, limits = await desk.admin.show(BOSS, "ci")
    assert (KeyState.BROKEN, ()) == (facts.state, limits)
    assert Fault.CONFLICT is (await refusal(desk.rotate(1)))[0]

    assert KeyState.REVOKED is (await desk.admin.revoke(BOSS, "ci")).state


# --- administrators of a team -----------------------------------------------------------------------------------------

LEAD = Principal(key_id=KeyId("lead"), organization="acme", team="lab", permissions=frozenset({Permission.TEAM_ADMIN}))
LEAD_SETTINGS = '{"name":"lead","team":"acme/lab","models":["small"],"permissions":["team_admin"]}'


@pytest.fixture
async def lab(desk: Desk) -> Desk:
    """Keys of the lab and of others, in file and store."""
    desk.rules.of_file = {
        "lead": LEAD_SETTINGS,
        "filed": '{"name":"filed","team":"acme/lab"}',
        "theirs-filed": '{"name":"theirs-filed","team":"acme/other"}',
    }
    await desk.create(name="plain", team="acme/lab", models=["small"])
    await desk.create(name="wide", team="acme/lab", models=["*"])
    await desk.create(name="boss-of-lab", team="acme/lab", models=["small"], permissions=["admin"])
    await desk.create(name="theirs", team="acme/other", models=["small"])
    await desk.create(name="nobodys")
    return desk


async def test_a_teams_administrator_makes_changes_rotates_and_revokes_its_keys(lab: Desk) -> None:
    issued = await lab.admin.create(LEAD, b'{"name":"ci"}')
    assert {"name": "ci", "team": "acme/lab", "models": ["small"]} == json.loads(issued.key.settings_json)
    updated = await lab.admin.update(LEAD, "ci", b'{"limits":{"rpm":1}}')
    assert {"rpm": 1} == json.loads(updated.settings_json)["limits"]
    await lab.admin.rotate(LEAD, "plain", overlap_ns=0)

    assert KeyState.REVOKED is (await lab.admin.revoke(LEAD, "ci")).state
    assert KeyState.REVOKED is (await lab.admin.revoke(LEAD, "wide")).state
    rows = await lab.admin.history(BOSS, "ci")
    assert ["lead"] * 3 == [row.change.actor for row in rows]
    listed = (await lab.admin.list(LEAD)).keys
    assert ["boss-of-lab", "ci", "filed", "lead", "plain", "wide"] == [key.name for key in listed]
    assert "filed" == (await lab.admin.show(LEAD, "filed"))[0].name


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"x","team":"acme/other"}',
        b'{"name":"x","team":null}',
        b'{"name":"x","permissions":["admin"]}',
        b'{"name":"x","permissions":["team_admin"]}',
        b'{"name":"x","models":["*"]}',
        b'{"name":"x","models":["small","large"]}',
    ],
)
async def test_a_teams_administrator_makes_no_key_that_may_more(body: bytes, lab: Desk) -> None:
    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.create(LEAD, body)))[0]
    assert "x" not in lab.store.rows


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("plain", b'{"team":"acme/other"}'),
        ("plain", b'{"team":null}'),
        ("plain", b'{"permissions":["inference","admin"]}'),
        ("plain", b'{"models":null}'),
        ("plain", b'{"models":["small","*"]}'),
        ("wide", b'{"limits":{"rpm":9}}'),
        ("boss-of-lab", b'{"permissions":null}'),
        ("boss-of-lab", b"{}"),
    ],
)
async def test_a_teams_administrator_makes_no_key_more_by_changing_it(name: str, patch: bytes, lab: Desk) -> None:
    before = dict(lab.store.rows)

    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.update(LEAD, name, patch)))[0]
    assert before == lab.store.rows


async def test_a_teams_administrator_gets_no_secret_of_a_key_that_may_more(lab: Desk) -> None:
    before = dict(lab.store.rows)
    for name in ("wide", "boss-of-lab"):
        assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.rotate(LEAD, name, overlap_ns=0)))[0]
    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.revoke(LEAD, "boss-of-lab")))[0]
    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.history(LEAD, "plain")))[0]

    assert before == lab.store.rows


async def test_keys_of_others_are_as_unknown_as_those_that_never_were(lab: Desk) -> None:
    async def answers(handle: str) -> set[tuple[Fault, str]]:
        return {
            await refusal(lab.admin.show(LEAD, handle)),
            await refusal(lab.admin.update(LEAD, handle, b"{}")),
            await refusal(lab.admin.rotate(LEAD, handle, overlap_ns=0)),
            await refusal(lab.admin.revoke(LEAD, handle)),
        }

    never = await answers("never")
    assert [Fault.NOT_FOUND] == [fault for fault, _ in never]
    for handle in ("theirs", "nobodys", "theirs-filed", lab.store.rows["theirs"].public_id):
        assert never == await answers(handle), handle


async def test_a_teams_administrator_whose_own_key_is_gone_gets_nothing(lab: Desk) -> None:
    lab.rules.of_file = {}

    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.list(LEAD)))[0]
    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.create(LEAD, b'{"name":"x"}')))[0]


async def test_a_teams_administrator_of_no_team_sees_nothing(lab: Desk) -> None:
    lab.rules.of_file = {"lead": '{"name":"lead"}'}

    assert () == (await lab.admin.list(LEAD)).keys
    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.create(LEAD, b'{"name":"x"}')))[0]


async def test_changes_are_checked_and_made_one_after_the_other(desk: Desk) -> None:
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(desk.admin.create(BOSS, b'{"name":"n%d"}' % number)) for number in range(5)]

    assert 5 == len({one.result().key.revision for one in made})
    assert not desk.turn.locked()
    assert 5 == desk.in_force


async def test_who_may_not_name_another_team_does_not_learn_whether_it_is_there(
    lab: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(_settings_json: str) -> object:
        raise SettingsRefused("`team` is not there, make it first")

    monkeypatch.setattr(lab.rules, "check", check)

    assert Fault.PERMISSION_DENIED is (await refusal(lab.admin.create(LEAD, b'{"name":"x","team":"acme/none"}')))[0]
    assert Fault.INVALID_REQUEST is (await refusal(lab.admin.create(LEAD, b'{"name":"x"}')))[0]
