"""The service of keys decodes and encodes; whoever may not administer is told so before anything else."""

import asyncio
import json

import pytest
from checkrein.admin.v1.keys_pb2 import (
    CreateKeyRequest,
    GetKeyRequest,
    Key,
    KeyLimit,
    KeySecret,
    ListKeyChangesRequest,
    ListKeysRequest,
    RevokeKeyRequest,
    RotateKeyRequest,
    UpdateKeyRequest,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from router.admin.keys import KeyAdmin
from router.admin.storing import BODY_BYTES_MAX
from router.domain.faults import Fault
from router.facades.grpc.admin.keys import key_service
from tests.support.fakes import SECOND, FakeClock
from tests.support.grpc_service import USER, Service
from tests.support.keys import MemoryKeys, PlainRules, change, stored

NOW = Timestamp(seconds=1_800_000_000)


class Site(Service):
    def __init__(self) -> None:
        self.store, self.clock = MemoryKeys(), FakeClock()
        admin = KeyAdmin(
            store=self.store,
            rules=PlainRules(filed='{"name":"filed"}'),
            refresh=self._refresh,
            clock=self.clock,
            draw_bytes=bytes,
            turn=asyncio.Lock(),
        )
        super().__init__(key_service, admin)

    async def _refresh(self) -> None:
        """Nothing is in force here."""


@pytest.fixture
def site() -> Site:
    return Site()


async def test_a_key_is_made_and_shown_with_all_there_is_to_it(site: Site) -> None:
    settings = '{"name":"ci","models":["small"]}'
    made = await site.ask(CreateKeyRequest(settings_json=settings))
    expected = Key(
        name="ci",
        id="aaaaaaaaaaaa",
        source="store",
        state="active",
        create_time=NOW,
        update_time=NOW,
        revision=1,
        secrets=[KeySecret()],
        settings_json=settings,
    )

    assert expected == made.key
    assert made.secret.startswith("sk-")
    shown = await site.ask(GetKeyRequest(key="ci"))
    assert expected == shown.key == (await site.ask(GetKeyRequest(key="aaaaaaaaaaaa"))).key
    assert [KeyLimit(scope="key:ci", limit="rpm", value="6", set_by="store")] == list(shown.limits)
    filed = (await site.ask(GetKeyRequest(key="filed"))).key
    assert Key(name="filed", source="file", state="active", settings_json='{"name":"filed"}') == filed


async def test_a_secret_is_in_the_reply_that_makes_it_and_nowhere_else(site: Site) -> None:
    made = await site.ask(CreateKeyRequest(settings_json='{"name":"ci"}'))
    rotated = await site.ask(RotateKeyRequest(key="ci"))
    hidden = made.secret.rpartition("-")[2]
    others = [
        made.key,
        rotated.key,
        await site.ask(GetKeyRequest(key="ci")),
        await site.ask(ListKeysRequest()),
        await site.ask(ListKeyChangesRequest(key="ci")),
    ]

    assert hidden in rotated.secret  # the fake draws the same
    assert [False] * 5 == [hidden in str(other) for other in others]


@pytest.mark.parametrize(
    ("overlap", "until_s"), [(None, 86_400), (Duration(seconds=60), 60), (Duration(), None)], ids=str
)
async def test_older_secrets_work_for_the_overlap(site: Site, overlap: Duration | None, until_s: int | None) -> None:
    await site.ask(CreateKeyRequest(settings_json='{"name":"ci"}'))
    rotated = (await site.ask(RotateKeyRequest(key="ci", overlap=overlap))).key
    older = [] if until_s is None else [KeySecret(expire_time=Timestamp(seconds=NOW.seconds + until_s))]

    assert [KeySecret(), *older] == list(rotated.secrets)
    site.clock.pass_ns(86_400 * SECOND)
    assert [KeySecret()] == list((await site.ask(GetKeyRequest(key="ci"))).key.secrets)


async def test_a_key_is_changed_revoked_and_its_changes_are_told(site: Site) -> None:
    await site.ask(CreateKeyRequest(settings_json='{"name":"ci","models":["small"]}'))
    changed = (await site.ask(UpdateKeyRequest(key="ci", patch_json='{"models":null,"team":"t"}'))).key
    revoked = (await site.ask(RevokeKeyRequest(key="ci"))).key
    changes = (await site.ask(ListKeyChangesRequest(key="ci"))).changes

    assert ({"name": "ci", "team": "t"}, 2) == (json.loads(changed.settings_json), changed.revision)
    assert ("revoked", 3) == (revoked.state, revoked.revision)
    assert ["revoke", "update", "create"] == [one.action for one in changes]
    for limit in (1, 0, -1):
        assert changes[:1] == (await site.ask(ListKeyChangesRequest(key="ci", limit=limit))).changes


async def test_a_list_goes_on_where_its_page_ended(site: Site) -> None:
    await site.ask(CreateKeyRequest(settings_json='{"name":"ci"}'))
    first = await site.ask(ListKeysRequest(limit=1))
    second = await site.ask(ListKeysRequest(limit=1, after=first.next))

    assert (["ci"], "ci") == ([key.name for key in first.keys], first.next)
    assert (["filed"], False) == ([key.name for key in second.keys], second.HasField("next"))


async def test_a_page_has_a_hundred_rows_unless_said(site: Site) -> None:
    for number in range(101):
        await site.store.insert(stored(f"n{number}"), change())
    assert [100, 102, 1] == [
        len((await site.ask(request)).keys)
        for request in (ListKeysRequest(), ListKeysRequest(limit=10**9), ListKeysRequest(limit=-1))
    ]


@pytest.mark.parametrize(
    ("request_", "fault", "field"),
    [
        (CreateKeyRequest(), Fault.INVALID_REQUEST, "settings_json"),
        (CreateKeyRequest(settings_json="[]"), Fault.INVALID_REQUEST, "settings_json"),
        (CreateKeyRequest(settings_json=" " * (BODY_BYTES_MAX + 1)), Fault.REQUEST_TOO_LARGE, "settings_json"),
        (CreateKeyRequest(settings_json="{}"), Fault.INVALID_REQUEST, "name"),
        (CreateKeyRequest(settings_json='{"name":"filed"}'), Fault.CONFLICT, "name"),
        (GetKeyRequest(), Fault.INVALID_REQUEST, "key"),
        (GetKeyRequest(key="never"), Fault.NOT_FOUND, None),
        (UpdateKeyRequest(), Fault.INVALID_REQUEST, "key"),
        (UpdateKeyRequest(key="ci"), Fault.INVALID_REQUEST, "patch_json"),
        (UpdateKeyRequest(key="ci", patch_json="7"), Fault.INVALID_REQUEST, "patch_json"),
        (UpdateKeyRequest(key="ci", patch_json='{"name":"other"}'), Fault.CONFLICT, "name"),
        (UpdateKeyRequest(key="filed", patch_json="{}"), Fault.CONFLICT, "name"),
        (RotateKeyRequest(), Fault.INVALID_REQUEST, "key"),
        (RotateKeyRequest(key="ci", overlap=Duration(seconds=-1)), Fault.INVALID_REQUEST, "overlap"),
        (RevokeKeyRequest(), Fault.INVALID_REQUEST, "key"),
        (ListKeyChangesRequest(), Fault.INVALID_REQUEST, "key"),
    ],
    ids=lambda one: one.DESCRIPTOR.name if isinstance(one, Message) else str(one),
)
async def test_what_is_wrong_is_refused_by_its_field_once_it_is_clear_who_asks(
    site: Site, request_: Message, fault: Fault, field: str | None
) -> None:
    await site.ask(CreateKeyRequest(settings_json='{"name":"ci"}'))

    assert (fault, field) == await site.refusal(request_)
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(request_, USER)
