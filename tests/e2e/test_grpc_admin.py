"""What is made, changed and refused over gRPC is so over HTTP: each reads what the other did."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from checkrein.admin.v1.audit_pb2 import ListAuditEventsRequest
from checkrein.admin.v1.breakers_pb2 import (
    CloseBreakerRequest,
    ListBreakersRequest,
    OpenBreakerRequest,
    ResetBreakerRequest,
)
from checkrein.admin.v1.budgets_pb2 import (
    CreateTopUpRequest,
    DeleteTopUpRequest,
    ListAccountsRequest,
    ListTopUpsRequest,
)
from checkrein.admin.v1.keys_pb2 import (
    CreateKeyRequest,
    GetKeyRequest,
    Key,
    KeySecret,
    ListKeyChangesRequest,
    ListKeysRequest,
    RevokeKeyRequest,
    RotateKeyRequest,
    UpdateKeyRequest,
)
from checkrein.admin.v1.ledger_pb2 import CallFilter, ListAttemptsRequest, ListCallsRequest
from checkrein.admin.v1.limits_pb2 import ListLimitsRequest, ListUpstreamLimitsRequest
from checkrein.admin.v1.tenants_pb2 import (
    TENANT_KIND_BUDGET,
    TENANT_KIND_ORGANIZATION,
    TENANT_KIND_TEAM,
    TENANT_KIND_USER,
    CreateTenantRequest,
    DeleteTenantRequest,
    GetTenantRequest,
    ListTenantsRequest,
    TenantKind,
    UpdateTenantRequest,
)
from checkrein.admin.v1.usage_pb2 import QueryUsageRequest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Reply, Request
from tests.support.grpc_admin import METHODS, Admin, admin, as_http, flat
from tests.support.running import ADMIN, KEY, chat
from tests.support.stage import Stage
from tests.support.waiting import until
from tests.support.wire import CHAT

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = "/admin/v1"
LEAD = "sk-test-lead"
OBSERVED = "sk-test-observed"
LIFETIME = {"limit_requests": 1_000, "window": "lifetime"}
TEAM_BUDGET = "team/acme/lab/requests/lifetime"
KEY_BUDGET = "key/test/usd/month@UTC"


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    return {
        "organizations": [
            {
                "name": "acme",
                "limits": {"tpm": 600_000},
                "teams": [
                    {"name": "lab", "budget": LIFETIME},
                    {"name": "other", "budget": LIFETIME},
                    {"name": "third"},
                ],
            }
        ],
        "users": [{"name": "ann", "budget": LIFETIME, "limits": {"concurrency": 9}}],
        "budgets": [{"name": "agents", "scope": {"agent": "*"}, "limit_usd": 5}],
        "keys": [
            {"name": "test", "key": KEY, "models": ["*"], "budget": {"limit_usd": 7}, "limits": {"rpm": 6_000}},
            {"name": "admin", "key": ADMIN, "models": ["*"], "permissions": ["admin", "inference"]},
            {
                "name": "lead",
                "key": LEAD,
                "team": "acme/lab",
                "models": ["small"],
                "permissions": ["team_admin", "inference"],
                "limits": {"rpm": 60},
            },
            {"name": "observed", "key": OBSERVED, "models": ["*"], "mode": "observe", "budget": {"limit_usd": 0}},
        ],
    }


@pytest_asyncio.fixture(loop_scope="module")
async def boss(stage: Stage) -> AsyncIterator[Admin]:
    await until(lambda: stage.router.lifecycle._phase.not_ready is None, within_s=10)
    async with admin(stage.router.grpc_port) as channel:
        yield channel


@pytest_asyncio.fixture(loop_scope="module")
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.router.client(ADMIN) as client:
        client.base_url = client.base_url.join(ROOT)
        yield client


async def called(stage: Stage, key: str = KEY, **headers: str) -> int:
    async with stage.router.client(key) as client:
        return (await client.post(CHAT, json=chat(), headers=headers)).status_code


async def read(http: httpx.AsyncClient, path: str, **query: object) -> Any:
    reply = await http.get(path, params={name: str(value) for name, value in query.items()})
    assert 200 == reply.status_code, reply.text
    return reply.json()


async def rows(http: httpx.AsyncClient, path: str, **query: object) -> tuple[list[dict[str, object]], str | None]:
    page = await read(http, path, **query)
    return [flat(row) for row in page["data"]], page.get("next")


def shown(messages: Any) -> list[dict[str, object]]:
    return [as_http(one) for one in messages]


def next_of(page: Any) -> str | None:
    return page.next if page.HasField("next") else None


# --- keys -----------------------------------------------------------------------------------------------------------


async def test_a_key_made_by_either_is_the_same_to_both(stage: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    settings = {"name": "g1", "team": "acme/lab", "models": ["small"], "limits": {"rpm": 60}}
    made = await boss.ask(CreateKeyRequest(settings_json=json.dumps(settings)))
    seen = await read(http, "/keys/g1")
    limits = [flat(one) for one in seen.pop("limits")]
    full = await boss.ask(GetKeyRequest(key="g1"))
    assert (
        flat(seen)
        == as_http(made.key)
        == as_http(full.key)
        == as_http((await boss.ask(GetKeyRequest(key=made.key.id))).key)
    )
    assert limits == shown(full.limits)
    assert {"rpm", "tpm", "budget"} <= {one.limit for one in full.limits}
    assert settings == json.loads(made.key.settings_json)
    assert 200 == await called(stage, made.secret)

    theirs = (await http.post("/keys", json={"name": "h1", "profile": None})).json()
    secret = theirs.pop("secret")
    assert flat(theirs) == as_http((await boss.ask(GetKeyRequest(key="h1"))).key)
    assert secret.startswith(f"sk-ck-{theirs['id']}-") or theirs["id"] in secret

    filed = await boss.ask(GetKeyRequest(key="test"))
    seen = await read(http, "/keys/test")
    assert [flat(one) for one in seen.pop("limits")] == shown(filed.limits)
    assert flat(seen) == as_http(filed.key)
    assert (False, False, "file") == (filed.key.HasField("id"), filed.key.HasField("create_time"), filed.key.source)


async def test_a_key_is_changed_by_either(stage: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    first = (await boss.ask(CreateKeyRequest(settings_json='{"name":"g2","limits":{"rpm":60}}'))).secret
    patched = await boss.ask(
        UpdateKeyRequest(key="g2", patch_json='{"limits":{"rpm":null,"tpm":70000},"models":["*"]}')
    )
    seen = await read(http, "/keys/g2")
    del seen["limits"]
    assert flat(seen) == as_http(patched.key)
    assert {"name": "g2", "limits": {"tpm": 70_000}, "models": ["*"]} == seen["settings"]

    by_http = (await http.patch("/keys/g2", json={"models": ["small"]})).json()
    assert flat(by_http) == as_http((await boss.ask(GetKeyRequest(key="g2"))).key)

    rotated = await boss.ask(RotateKeyRequest(key="g2", overlap=Duration(seconds=3_600, nanos=7)))
    seen = await read(http, "/keys/g2")
    del seen["limits"]
    assert flat(seen) == as_http(rotated.key)
    newest, older = rotated.key.secrets
    assert not newest.HasField("expire_time")
    assert 3_600 == seconds_left(older, rotated.key)
    assert [200, 200] == [await called(stage, first), await called(stage, rotated.secret)]
    again = await boss.ask(RotateKeyRequest(key="g2"))
    assert 86_400 == seconds_left(again.key.secrets[1], again.key)
    at_once = await boss.ask(RotateKeyRequest(key="g2", overlap=Duration()))
    assert (1, 401, 200) == (
        len(at_once.key.secrets),
        await called(stage, first),
        await called(stage, at_once.secret),
    )

    gone = await boss.ask(RevokeKeyRequest(key=rotated.key.id))
    seen = await read(http, "/keys/g2")
    del seen["limits"]
    assert flat(seen) == as_http(gone.key)
    assert ("revoked", 401) == (gone.key.state, await called(stage, at_once.secret))


def seconds_left(secret: KeySecret, key: Key) -> int:
    """Return for how long it worked when the key was changed, to the second."""
    return round((secret.expire_time.ToNanoseconds() - key.update_time.ToNanoseconds()) / 10**9)


async def test_who_changed_a_key_is_told_by_both(boss: Admin, http: httpx.AsyncClient) -> None:
    await boss.ask(CreateKeyRequest(settings_json='{"name":"g3"}'))
    await http.patch("/keys/g3", json={"models": ["small"]})
    await boss.ask(RotateKeyRequest(key="g3"))
    await boss.ask(RevokeKeyRequest(key="g3"))
    told = await boss.ask(ListKeyChangesRequest(key="g3"))

    assert (await rows(http, "/keys/g3/changes"))[0] == shown(told.changes)
    assert ["revoke", "rotate", "update", "create"] == [one.action for one in told.changes]
    assert {"admin"} == {one.actor for one in told.changes}
    assert [True, True, True, False] == [one.HasField("before_json") for one in told.changes]
    assert [told.changes[0]] == list((await boss.ask(ListKeyChangesRequest(key="g3", limit=-7))).changes)
    assert told == await boss.ask(ListKeyChangesRequest(key="g3", limit=2**31 - 1))


async def test_no_list_nor_change_has_a_secret(boss: Admin) -> None:
    secret = (await boss.ask(CreateKeyRequest(settings_json='{"name":"g4"}'))).secret.rpartition("-")[2]
    secret += (await boss.ask(RotateKeyRequest(key="g4"))).secret.rpartition("-")[2]
    said = [
        await boss.ask(request)
        for request in (
            GetKeyRequest(key="g4"),
            ListKeysRequest(),
            ListKeyChangesRequest(key="g4"),
            ListAuditEventsRequest(),
        )
    ]

    assert 104 == len(secret)
    assert [False] * 8 == [part in str(reply) for reply in said for part in (secret[:52], secret[52:])]


# --- tenants and budgets --------------------------------------------------------------------------------------------

TENANTS = [
    (TENANT_KIND_ORGANIZATION, "organizations", {"name": "gorg", "budget": LIFETIME}),
    (TENANT_KIND_TEAM, "teams", {"name": "acme/gteam", "budget": {"limit_usd": "0.5", "window": "1d"}}),
    (TENANT_KIND_USER, "users", {"name": "guser", "limits": {"rpm": 5}}),
    (TENANT_KIND_BUDGET, "budgets", {"name": "gbudget", "scope": {"key": "*"}, "limit_usd": 3}),
]


@pytest.mark.parametrize(("kind", "path", "settings"), TENANTS, ids=[path for _, path, _ in TENANTS])
async def test_a_tenant_made_by_either_is_the_same_to_both(
    kind: TenantKind, path: str, settings: Mapping[str, object], boss: Admin, http: httpx.AsyncClient
) -> None:
    name = str(settings["name"])
    made = (await boss.ask(CreateTenantRequest(kind=kind, settings_json=json.dumps(settings)))).tenant
    await same_tenant(boss, http, kind, path, name)
    seen = await read(http, f"/{path}/{name}")
    del seen["account"]
    assert flat(seen) == as_http(made)

    patched = (
        (await boss.ask(UpdateTenantRequest(kind=kind, name=name, patch_json='{"budget":null,"limits":null}'))).tenant
        if kind != TENANT_KIND_BUDGET
        else made
    )
    await same_tenant(boss, http, kind, path, name)
    assert (kind == TENANT_KIND_BUDGET) is (patched.HasField("budget"))
    body = {"limit_usd": 4} if kind == TENANT_KIND_BUDGET else {"budget": {"limit_usd": 4}}
    by_http = (await http.patch(f"/{path}/{name}", json=body)).json()
    assert flat(by_http) == as_http((await boss.ask(GetTenantRequest(kind=kind, name=name))).tenant)
    await same_tenant(boss, http, kind, path, name)

    assert not (await boss.ask(DeleteTenantRequest(kind=kind, name=name))).ByteSize()
    assert 404 == (await http.get(f"/{path}/{name}")).status_code
    by_http = (await http.post(f"/{path}", json=dict(settings))).json()
    assert flat(by_http) == as_http((await boss.ask(GetTenantRequest(kind=kind, name=name))).tenant)
    await http.delete(f"/{path}/{name}")
    assert "NOT_FOUND" == (await boss.refused(GetTenantRequest(kind=kind, name=name))).code


async def same_tenant(boss: Admin, http: httpx.AsyncClient, kind: TenantKind, path: str, name: str) -> None:
    """Compare what both show of one, with the account of its budget."""
    seen = await read(http, f"/{path}/{name}")
    full = await boss.ask(GetTenantRequest(kind=kind, name=name))
    account = seen.pop("account")
    assert flat(seen) == as_http(full.tenant)
    assert (None if account is None else flat(account)) == (as_http(full.account) if full.HasField("account") else None)
    assert (account is not None) is (full.tenant.HasField("budget") and kind != TENANT_KIND_BUDGET)


async def test_what_the_file_has_is_shown_with_its_place(boss: Admin, http: httpx.AsyncClient) -> None:
    for kind, path, name in (
        (TENANT_KIND_ORGANIZATION, "organizations", "acme"),
        (TENANT_KIND_TEAM, "teams", "acme/lab"),
        (TENANT_KIND_USER, "users", "ann"),
        (TENANT_KIND_BUDGET, "budgets", "agents"),
    ):
        await same_tenant(boss, http, kind, path, name)
        tenant = (await boss.ask(GetTenantRequest(kind=kind, name=name))).tenant
        assert (True, "file", False) == (
            "checkrein.yaml:" in tenant.place,
            tenant.source,
            tenant.HasField("revision"),
        )


async def test_a_top_up_made_by_either_is_the_same_to_both(stage: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    lasting = await boss.ask(
        CreateTopUpRequest(budget=KEY_BUDGET, amount=1_500_000_001, lasting=Duration(seconds=7_200), reason="launch")
    )
    assert (1_500_000_001, "test", 7_200 * 10**9) == (
        lasting.top_up.amount,
        lasting.top_up.value,
        lasting.top_up.end_time.ToNanoseconds() - lasting.top_up.create_time.ToNanoseconds(),
    )
    end = Timestamp(seconds=lasting.top_up.create_time.seconds + 86_400, nanos=5)
    starred = await boss.ask(CreateTopUpRequest(budget=KEY_BUDGET, amount=1, until=end, value="*"))
    assert end == starred.top_up.end_time
    by_http = (await http.post(f"/budgets/{KEY_BUDGET}/top_ups", json={"amount_usd": "0.25", "for": "1h"})).json()
    listed = await boss.ask(ListTopUpsRequest(budget=KEY_BUDGET))
    assert (await rows(http, f"/budgets/{KEY_BUDGET}/top_ups"))[0] == shown(listed.top_ups)
    assert {lasting.top_up.id, starred.top_up.id, by_http["id"]} == {one.id for one in listed.top_ups}
    (account,) = [
        one
        for one in (await boss.ask(ListAccountsRequest())).accounts
        if (one.scope_kind, one.scope_value) == ("key", "test")
    ]
    assert 7 * 10**9 + 1_500_000_001 + 1 + 250_000_000 == account.limit

    for one in listed.top_ups:
        assert not (await boss.ask(DeleteTopUpRequest(budget=KEY_BUDGET, id=one.id))).ByteSize()
    assert [] == (await rows(http, f"/budgets/{KEY_BUDGET}/top_ups"))[0]
    named = await boss.ask(CreateTopUpRequest(budget="agents", amount=9, lasting=Duration(seconds=60)))
    assert "*" == named.top_up.value
    await http.delete(f"/budgets/agents/top_ups/{named.top_up.id}")
    assert [] == list((await boss.ask(ListTopUpsRequest(budget="agents"))).top_ups)
    assert await boss.refused(DeleteTopUpRequest(budget="agents", id=named.top_up.id))


# --- lists ----------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def busy(stage: Stage) -> Stage:
    """A router through which something went, also what would have been refused."""
    for key, headers in (
        (KEY, {"x-checkrein-agent": "pager", "x-checkrein-tags": "b,a", "x-checkrein-user": "ann"}),
        (KEY, {"x-checkrein-agent": "pager", "x-checkrein-workflow": "wf-1"}),
        (OBSERVED, {}),
        (LEAD, {}),
    ):
        assert 200 == await called(stage, key, **headers)
    await stage.router.idle()
    return stage


PAGED: list[tuple[str, Callable[..., Message], str]] = [
    ("/keys", ListKeysRequest, "keys"),
    ("/teams", lambda **page: ListTenantsRequest(kind=TENANT_KIND_TEAM, **page), "tenants"),
    ("/accounts", ListAccountsRequest, "accounts"),
    ("/audit", ListAuditEventsRequest, "events"),
    ("/ledger/calls", ListCallsRequest, "calls"),
    ("/ledger/attempts", ListAttemptsRequest, "attempts"),
    ("/limits", ListLimitsRequest, "limits"),
]


def still(row: Mapping[str, object]) -> dict[str, object]:
    """Return what does not go on while it is looked at."""
    return {name: value for name, value in row.items() if name not in ("resets_in_ms", "remaining", "said_ms_ago")}


def like(ours: Mapping[str, object], theirs: Mapping[str, object]) -> dict[str, object]:
    """Return what messages say of what HTTP says, attempts likewise: messages say more of usage."""
    kept = {name: value for name, value in ours.items() if name in theirs}
    for name in ("attempts",):
        if name in kept:
            kept[name] = [like(one, other) for one, other in zip(kept[name], theirs[name], strict=True)]  # type: ignore[call-overload]
    return kept


@pytest.mark.parametrize(("path", "request_of", "field"), PAGED, ids=[path for path, _, _ in PAGED])
async def test_pages_are_the_same_and_go_on_across_the_two(
    path: str, request_of: Callable[..., Message], field: str, busy: Stage, boss: Admin, http: httpx.AsyncClient
) -> None:
    await boss.ask(CreateKeyRequest(settings_json=json.dumps({"name": f"p-{field}"})))
    whole = await boss.ask(request_of())
    theirs, _ = await rows(http, path)
    assert 3 <= len(theirs)
    ours = shown(getattr(whole, field))
    assert [still(row) for row in theirs] == [still(like(row, other)) for row, other in zip(ours, theirs, strict=True)]

    first = await boss.ask(request_of(limit=1))
    second, onward = await rows(http, path, limit=1, after=next_of(first))
    third = await boss.ask(request_of(limit=1, after=onward))
    assert still(theirs[0]) == still(like(as_http(getattr(first, field)[0]), theirs[0]))
    assert still(theirs[1]) == still(second[0])
    assert still(theirs[2]) == still(like(as_http(getattr(third, field)[0]), theirs[2]))
    for limit in (-(2**31), 0, 1):
        assert (1, True) == (len(getattr(await boss.ask(request_of(limit=limit)), field)), first.HasField("next"))
    most = await boss.ask(request_of(limit=2**31 - 1))
    assert (len(theirs), False) == (len(getattr(most, field)), most.HasField("next"))


async def test_calls_say_all_that_their_rows_have(busy: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    theirs, _ = await rows(http, "/ledger/calls", agent="pager")
    ours = shown((await boss.ask(ListCallsRequest(filter=CallFilter(agent="pager")))).calls)
    more = {name for row in ours for name in row} - {name for row in theirs for name in row}
    assert {"usage_clamped"} == more
    assert set(theirs[0]) <= set(ours[0])
    first = ours[-1]
    assert (["a", "b"], "ann", "completed", None) == (first["tags"], first["user"], first["outcome"], first["fault"])
    assert first["duration_ms"] == theirs[-1]["duration_ms"]
    attempts, _ = await rows(http, "/ledger/attempts", agent="pager")
    assert attempts == shown((await boss.ask(ListAttemptsRequest(filter=CallFilter(agent="pager")))).attempts)
    observed = (await boss.ask(ListCallsRequest(filter=CallFilter(key="observed")))).calls[0]
    assert ("BUDGET_EXHAUSTED", True) == (observed.would_refuse, observed.hold_nano_usd > 0)


async def test_filters_are_the_same(busy: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    busy.upstream.script(fake.error(500))
    await called(busy, KEY, **{"x-checkrein-agent": "breaks"})
    await busy.router.idle()
    soon = await boss.ask(ListLimitsRequest(scope_kind="key", scope_value="lead"))
    assert 0 < soon.limits[0].resets_in.ToNanoseconds() <= 60 * 10**9
    newest = (await boss.ask(ListCallsRequest(limit=1))).calls[0].call.start_time
    instant = f"{newest.seconds}.{newest.nanos:09d}"
    for sought, query in (
        ({"key": "test"}, {"key": "test"}),
        ({"team": "acme/lab"}, {"team": "acme/lab"}),
        ({"workflow": "wf-1"}, {"workflow": "wf-1"}),
        ({"model": "small"}, {"model": "small"}),
        ({"outcome": "failed"}, {"outcome": "failed"}),
        ({"reason": "UPSTREAM_ERROR"}, {"fault": "upstream_error"}),
        ({"since": newest}, {"since": instant}),
        ({"until": newest}, {"until": instant}),
        ({"since": Timestamp(seconds=-(2**62))}, {}),
        ({"since": Timestamp(seconds=2**62)}, {"since": "9999-12-31T00:00:00Z"}),
    ):
        ours = await boss.ask(ListCallsRequest(filter=CallFilter(**sought)))  # type: ignore[arg-type]  # a table
        theirs, _ = await rows(http, "/ledger/calls", **query)
        assert [row["id"] for row in theirs] == [one.call.id for one in ours.calls], sought
        assert bool(theirs) is (query.get("since") != "9999-12-31T00:00:00Z"), sought
    failed = (await boss.ask(ListCallsRequest(filter=CallFilter(agent="breaks")))).calls[0].call
    assert ("UPSTREAM_ERROR", "UPSTREAM_ERROR", 500) == (
        failed.reason,
        failed.attempts[0].reason,
        failed.attempts[0].upstream_status,
    )
    events = (await boss.ask(ListAuditEventsRequest(kind="key", action="create", actor="admin"))).events
    theirs, _ = await rows(http, "/audit", kind="key", action="create", actor="admin")
    assert theirs == shown(events)
    middle = events[len(events) // 2]
    assert [middle] == list((await boss.ask(ListAuditEventsRequest(subject=middle.subject))).events)[-1:]
    after = (await boss.ask(ListAuditEventsRequest(since=middle.change.time, kind="key", action="create"))).events
    before = (await boss.ask(ListAuditEventsRequest(until=middle.change.time, kind="key", action="create"))).events
    assert (middle.id, len(events)) == (after[-1].id, len(after) + len(before))
    scoped = await boss.ask(ListLimitsRequest(scope_kind="key", scope_value="test"))
    theirs, _ = await rows(http, "/limits", kind="key", value="test")
    assert [still(row) for row in theirs] == [still(row) for row in shown(scoped.limits)]
    assert ["rpm"] == [one.limit for one in scoped.limits]


async def test_usage_is_the_same(busy: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    for by in ([], ["key"], ["agent", "model", "day"], ["tag"], ["organization", "team", "user"], ["deployment"]):
        ours = await boss.ask(QueryUsageRequest(group_by=by))
        page = await read(http, "/usage", **({"group_by": ",".join(by)} if by else {}))
        assert [flat(row) for row in page["data"]] == shown(ours.groups), by
        assert (page["truncated"], page["partial"]) == (ours.truncated, ours.partial)
    assert {} in [dict(one.values) for one in (await boss.ask(QueryUsageRequest(group_by=["agent"]))).groups]
    few = await boss.ask(QueryUsageRequest(limit=-1))
    assert (1, True) == (len(few.groups), few.truncated)
    assert not (await boss.ask(QueryUsageRequest(limit=2**31 - 1))).truncated
    one = await boss.ask(QueryUsageRequest(key="test", agent="pager", workflow="wf-1", model="small"))
    rows_of_it = (await boss.ask(ListCallsRequest(filter=CallFilter(workflow="wf-1")))).calls
    assert [len(rows_of_it)] == [group.calls for group in one.groups]
    assert not (await boss.ask(QueryUsageRequest(until=Timestamp()))).groups
    assert not (await boss.ask(QueryUsageRequest(team="acme/none"))).groups
    assert (await boss.ask(QueryUsageRequest(since=Timestamp()))) == (await boss.ask(QueryUsageRequest()))


async def test_what_providers_say_of_our_limits_is_the_same(busy: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    def tells(request: Request) -> Reply:
        said = (("x-ratelimit-limit-requests", "100"), ("x-ratelimit-remaining-requests", "40"))
        reply = fake.completion(request)
        return replace(reply, headers=(*reply.headers, *said))

    busy.upstream.script(tells)
    await called(busy)
    ours = (await boss.ask(ListUpstreamLimitsRequest())).limits
    theirs, onward = await rows(http, "/limits/upstream")

    assert None is onward
    assert ["requests"] == [unit.unit for unit in ours[0].units]
    assert (100, 40, False, False) == (
        ours[0].units[0].limit_value,
        ours[0].units[0].remaining,
        ours[0].units[0].HasField("resets_in"),
        ours[0].HasField("blocked"),
    )
    assert 0 <= ours[0].units[0].age.ToNanoseconds() < 20 * 10**9
    said = as_http(ours[0])
    assert ("fake/fake-model", "fake", "") == (said["deployment"], said["provider"], said["credential"])
    assert ("fake/fake-model", "fake") == (theirs[0]["deployment"], theirs[0]["provider"])


async def test_breakers_are_opened_and_closed_by_either(busy: Stage, boss: Admin, http: httpx.AsyncClient) -> None:
    async def same() -> Any:
        ours = (await boss.ask(ListBreakersRequest())).breakers
        assert (await rows(http, "/breakers"))[0] == shown(ours)
        return ours

    (target,) = [one.target for one in await same()]
    opened = (await boss.ask(OpenBreakerRequest(target=target))).breaker
    assert ("open", "hand", False) == (opened.state, opened.opened_by, opened.HasField("opens_until"))
    assert [opened] == list(await same())
    assert 503 == await called(busy)
    closed = flat((await http.post("/breakers/close", json={"target": target})).json())
    assert [closed] == shown(await same())
    await http.post("/breakers/open", json={"target": target})
    assert "closed" == (await boss.ask(CloseBreakerRequest(target=target))).breaker.state
    busy.upstream.script(fake.error(401))
    await called(busy)
    (parked,) = await same()
    assert ("UPSTREAM_CREDENTIALS", True) == (parked.credential_parked_why, parked.HasField("credential_parked_until"))
    reset = (await boss.ask(ResetBreakerRequest(target=target))).breaker
    assert (False, False) == (reset.HasField("credential_parked_why"), reset.HasField("credential_parked_until"))
    assert [reset] == list(await same())
    assert 200 == await called(busy)


async def test_changes_by_grpc_are_audited_as_those_by_http(boss: Admin, http: httpx.AsyncClient) -> None:
    """Each change is made once by each, and the rows are the same but for their place and time."""

    async def trail(name: str) -> list[dict[str, object]]:
        found = shown((await boss.ask(ListAuditEventsRequest(actor="admin", limit=20))).events)
        fields = ("kind", "actor", "action")
        return [
            {**{field: row[field] for field in fields}, "both": (row["before"] is None, row["after"] is None)}
            for row in found
            if name in json.dumps(row)
        ]

    await boss.ask(CreateTenantRequest(kind=TENANT_KIND_USER, settings_json='{"name":"trail-g"}'))
    await boss.ask(UpdateTenantRequest(kind=TENANT_KIND_USER, name="trail-g", patch_json='{"limits":{"rpm":1}}'))
    await boss.ask(DeleteTenantRequest(kind=TENANT_KIND_USER, name="trail-g"))
    made = await boss.ask(
        CreateTopUpRequest(budget=KEY_BUDGET, amount=5, lasting=Duration(seconds=60), reason="trail-g")
    )
    await boss.ask(DeleteTopUpRequest(budget=KEY_BUDGET, id=made.top_up.id))
    await http.post("/users", json={"name": "trail-h"})
    await http.patch("/users/trail-h", json={"limits": {"rpm": 1}})
    await http.delete("/users/trail-h")
    top_up = (
        await http.post(f"/budgets/{KEY_BUDGET}/top_ups", json={"amount": 5, "amount_usd": 1, "for": "60s"})
    ).status_code
    assert 400 == top_up
    by_http = (
        await http.post(f"/budgets/{KEY_BUDGET}/top_ups", json={"amount_usd": 1, "for": "60s", "reason": "trail-h"})
    ).json()
    await http.delete(f"/budgets/{KEY_BUDGET}/top_ups/{by_http['id']}")

    assert 5 == len(await trail("trail-h"))
    assert await trail("trail-h") == await trail("trail-g")


# --- refusals -------------------------------------------------------------------------------------------------------

BARE = {
    "CreateKey": "settings_json",
    "GetKey": "key",
    "ListKeys": None,
    "UpdateKey": "key",
    "RotateKey": "key",
    "RevokeKey": "key",
    "ListKeyChanges": "key",
    "CreateTenant": "kind",
    "GetTenant": "kind",
    "ListTenants": "kind",
    "UpdateTenant": "kind",
    "DeleteTenant": "kind",
    "ListAccounts": None,
    "CreateTopUp": "budget",
    "ListTopUps": "budget",
    "DeleteTopUp": "budget",
    "ListAuditEvents": None,
    "QueryUsage": None,
    "ListCalls": None,
    "ListAttempts": None,
    "ListLimits": None,
    "ListUpstreamLimits": None,
    "ListBreakers": None,
    "OpenBreaker": "target",
    "CloseBreaker": "target",
    "ResetBreaker": "target",
}
"""Every method, and the field that an empty request is refused for. None: it is none."""
OF_TEAMS = {"CreateKey", "GetKey", "ListKeys", "UpdateKey", "RotateKey", "RevokeKey", "ListKeyChanges", "ListAccounts"}
"""Where a team's administrator is asked for more than who it is."""


async def test_every_method_is_in_the_table() -> None:
    """Default deny: who adds a method says here what it wants."""
    assert set(BARE) == set(METHODS)


@pytest.mark.parametrize("method", BARE)
async def test_a_method_looks_at_who_asks_and_then_at_what(method: str, stage: Stage, boss: Admin) -> None:
    empty = GetMessageClass(METHODS[method].input_type)()
    for key, code in ((None, "UNAUTHENTICATED"), ("sk-unknown", "UNAUTHENTICATED"), (KEY, "PERMISSION_DENIED")):
        async with admin(stage.router.grpc_port, key) as caller:
            refused = await caller.refused(empty)
        assert (code, ()) == (refused.code, refused.fields)
        assert ("401" if code == "UNAUTHENTICATED" else "403") == refused.info["http_status"]
    async with admin(stage.router.grpc_port, LEAD) as lead:
        if method not in OF_TEAMS:
            assert "PERMISSION_DENIED" == (await lead.refused(empty)).code
    field = BARE[method]
    if field is None:
        await boss.ask(empty)
        return
    refused = await boss.refused(empty)
    assert ("INVALID_ARGUMENT", (field,), "INVALID_REQUEST") == (refused.code, refused.fields, refused.info["reason"])


BIG = json.dumps({"name": "x" * 66_000})
SAME = [
    # (request of gRPC, method and path of HTTP, its body, status of gRPC, its field)
    (GetKeyRequest(key="never"), "GET", "/keys/never", None, "NOT_FOUND", ()),
    (RevokeKeyRequest(key="never"), "POST", "/keys/never/revoke", None, "NOT_FOUND", ()),
    (RevokeKeyRequest(key="test"), "POST", "/keys/test/revoke", None, "ABORTED", None),
    (UpdateKeyRequest(key="test", patch_json="{}"), "PATCH", "/keys/test", {}, "ABORTED", None),
    (CreateKeyRequest(settings_json='{"name":"test"}'), "POST", "/keys", {"name": "test"}, "ABORTED", None),
    (CreateKeyRequest(settings_json="{}"), "POST", "/keys", {}, "INVALID_ARGUMENT", ("name",)),
    (
        CreateKeyRequest(settings_json='{"name":"x","limits":{"rpm":0}}'),
        "POST",
        "/keys",
        {"name": "x", "limits": {"rpm": 0}},
        "INVALID_ARGUMENT",
        ("limits.rpm",),
    ),
    (
        CreateKeyRequest(settings_json='{"name":"x","key":"sk-1"}'),
        "POST",
        "/keys",
        {"name": "x", "key": "sk-1"},
        "INVALID_ARGUMENT",
        ("key",),
    ),
    (
        CreateKeyRequest(settings_json='{"name":"x","team":"acme/none"}'),
        "POST",
        "/keys",
        {"name": "x", "team": "acme/none"},
        "INVALID_ARGUMENT",
        ("team",),
    ),
    (CreateKeyRequest(settings_json="[]"), "POST", "/keys", [], "INVALID_ARGUMENT", ("settings_json",)),
    (
        RotateKeyRequest(key="filed-not", overlap=Duration(seconds=1)),
        "POST",
        "/keys/filed-not/rotate",
        {"overlap": "1s"},
        "NOT_FOUND",
        (),
    ),
    (
        GetTenantRequest(kind=TENANT_KIND_USER, name="never"),
        "GET",
        "/users/never",
        None,
        "NOT_FOUND",
        (),
    ),
    (
        CreateTenantRequest(kind=TENANT_KIND_USER, settings_json='{"name":"ann"}'),
        "POST",
        "/users",
        {"name": "ann"},
        "ABORTED",
        None,
    ),
    (
        CreateTenantRequest(kind=TENANT_KIND_TEAM, settings_json='{"name":"none/x"}'),
        "POST",
        "/teams",
        {"name": "none/x"},
        "INVALID_ARGUMENT",
        ("name",),
    ),
    (
        CreateTenantRequest(kind=TENANT_KIND_BUDGET, settings_json='{"name":"b","limit_usd":1,"scope":{"key":"none"}}'),
        "POST",
        "/budgets",
        {"name": "b", "limit_usd": 1, "scope": {"key": "none"}},
        "INVALID_ARGUMENT",
        ("scope.key",),
    ),
    (
        UpdateTenantRequest(kind=TENANT_KIND_USER, name="ann", patch_json='{"limits":null}'),
        "PATCH",
        "/users/ann",
        {"limits": None},
        "ABORTED",
        None,
    ),
    (
        UpdateTenantRequest(kind=TENANT_KIND_USER, name="ann", patch_json="7"),
        "PATCH",
        "/users/ann",
        7,
        "INVALID_ARGUMENT",
        ("patch_json",),
    ),
    (DeleteTenantRequest(kind=TENANT_KIND_USER, name="ann"), "DELETE", "/users/ann", None, "ABORTED", None),
    (ListTopUpsRequest(budget="never"), "GET", "/budgets/never/top_ups", None, "NOT_FOUND", ()),
    (
        CreateTopUpRequest(budget=KEY_BUDGET, amount=1, lasting=Duration(seconds=9), value="other"),
        "POST",
        f"/budgets/{KEY_BUDGET}/top_ups",
        {"amount_usd": 1, "for": "9s", "value": "other"},
        "INVALID_ARGUMENT",
        ("value",),
    ),
    (DeleteTopUpRequest(budget="agents", id="top-x"), "DELETE", "/budgets/agents/top_ups/top-x", None, "NOT_FOUND", ()),
    (
        OpenBreakerRequest(target="never"),
        "POST",
        "/breakers/open",
        {"target": "never"},
        "NOT_FOUND",
        None,
    ),
    (ListLimitsRequest(scope_kind="moon"), "GET", "/limits?kind=moon", None, "INVALID_ARGUMENT", ("scope_kind",)),
    (ListLimitsRequest(after="!"), "GET", "/limits?after=!", None, "INVALID_ARGUMENT", ("after",)),
    (ListUpstreamLimitsRequest(after=""), "GET", "/limits/upstream?after=", None, "INVALID_ARGUMENT", ("after",)),
    (ListAccountsRequest(after="!"), "GET", "/accounts?after=!", None, "INVALID_ARGUMENT", ("after",)),
    (ListAuditEventsRequest(after="x"), "GET", "/audit?after=x", None, "INVALID_ARGUMENT", ("after",)),
    (ListCallsRequest(after="x"), "GET", "/ledger/calls?after=x", None, "INVALID_ARGUMENT", ("after",)),
    (ListAttemptsRequest(after="x"), "GET", "/ledger/attempts?after=x", None, "INVALID_ARGUMENT", ("after",)),
    (
        ListCallsRequest(filter=CallFilter(outcome="lost")),
        "GET",
        "/ledger/calls?outcome=lost",
        None,
        "INVALID_ARGUMENT",
        ("filter.outcome",),
    ),
    (
        QueryUsageRequest(group_by=["moon"]),
        "GET",
        "/usage?group_by=moon",
        None,
        "INVALID_ARGUMENT",
        ("group_by",),
    ),
    (
        QueryUsageRequest(group_by=["key", "team", "user", "agent"]),
        "GET",
        "/usage?group_by=key,team,user,agent",
        None,
        "INVALID_ARGUMENT",
        ("group_by",),
    ),
]


@pytest.mark.parametrize(
    ("request_", "method", "path", "body", "code", "fields"), SAME, ids=[f"{one[1]} {one[2]}" for one in SAME]
)
async def test_a_refusal_is_the_same(
    request_: Message,
    method: str,
    path: str,
    body: object,
    code: str,
    fields: tuple[str, ...] | None,
    boss: Admin,
    http: httpx.AsyncClient,
) -> None:
    """`fields`: None where the status alone says whose fault it is."""
    refused = await boss.refused(request_)
    reply = await http.request(method, path, **({} if body is None else {"json": body}))
    error = reply.json()["error"]

    assert (error["message"], str(reply.status_code)) == (refused.message, refused.info["http_status"])
    assert code == refused.code
    assert fields is None or fields == refused.fields
    assert (error["type"], error["code"]) == (refused.info["type"], refused.info.get("code"))


@pytest.mark.parametrize(
    ("request_", "code", "fields"),
    [
        (CreateKeyRequest(settings_json=BIG), "RESOURCE_EXHAUSTED", ("settings_json",)),
        (
            UpdateTenantRequest(kind=TENANT_KIND_USER, name="ann", patch_json=BIG),
            "RESOURCE_EXHAUSTED",
            ("patch_json",),
        ),
        (UpdateKeyRequest(key="test"), "INVALID_ARGUMENT", ("patch_json",)),
        (CreateTenantRequest(kind=TENANT_KIND_USER), "INVALID_ARGUMENT", ("settings_json",)),
        (CreateTenantRequest(kind=77, settings_json="{}"), "INVALID_ARGUMENT", ("kind",)),  # type: ignore[arg-type]
        (GetTenantRequest(kind=TENANT_KIND_USER), "INVALID_ARGUMENT", ("name",)),
        (DeleteTenantRequest(kind=TENANT_KIND_USER), "INVALID_ARGUMENT", ("name",)),
        (CreateTopUpRequest(budget="agents", amount=1), "INVALID_ARGUMENT", ("until",)),
        (
            CreateTopUpRequest(budget="agents", amount=-1, lasting=Duration(seconds=9)),
            "INVALID_ARGUMENT",
            ("amount",),
        ),
        (
            CreateTopUpRequest(budget="agents", amount=1, lasting=Duration(seconds=-9)),
            "INVALID_ARGUMENT",
            ("lasting",),
        ),
        (
            CreateTopUpRequest(budget="agents", amount=1, until=Timestamp(seconds=2**62)),
            "INVALID_ARGUMENT",
            ("until",),
        ),
        (DeleteTopUpRequest(budget="agents"), "INVALID_ARGUMENT", ("id",)),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Message) else str(one),
)
async def test_what_only_messages_can_say_wrong_is_refused_by_field(
    request_: Message, code: str, fields: tuple[str, ...], boss: Admin
) -> None:
    refused = await boss.refused(request_)

    assert (code, fields) == (refused.code, refused.fields), refused


async def test_an_overlap_out_of_range_is_refused_by_field(boss: Admin) -> None:
    await boss.ask(CreateKeyRequest(settings_json='{"name":"g5"}'))
    for overlap in (Duration(seconds=-1), Duration(seconds=90 * 86_400, nanos=1), Duration(seconds=2**62)):
        refused = await boss.refused(RotateKeyRequest(key="g5", overlap=overlap))
        assert ("INVALID_ARGUMENT", ("overlap",)) == (refused.code, refused.fields)


async def test_a_teams_administrator_keeps_to_its_team(stage: Stage, boss: Admin) -> None:
    theirs = (await boss.ask(CreateKeyRequest(settings_json='{"name":"theirs","team":"acme/other"}'))).key
    await boss.ask(CreateKeyRequest(settings_json='{"name":"strong","team":"acme/lab","permissions":["admin"]}'))
    async with admin(stage.router.grpc_port, LEAD) as lead:
        mine = await lead.ask(CreateKeyRequest(settings_json='{"name":"mine"}'))
        assert {"name": "mine", "team": "acme/lab", "models": ["small"]} == json.loads(mine.key.settings_json)
        await lead.ask(UpdateKeyRequest(key="mine", patch_json='{"limits":{"rpm":9}}'))
        assert 200 == await called(stage, (await lead.ask(RotateKeyRequest(key="mine"))).secret)
        await lead.ask(RevokeKeyRequest(key="mine"))
        for handle in ("theirs", theirs.id, "test", "never"):
            for request in (
                GetKeyRequest(key=handle),
                UpdateKeyRequest(key=handle, patch_json="{}"),
                RotateKeyRequest(key=handle),
                RevokeKeyRequest(key=handle),
            ):
                assert "NOT_FOUND" == (await lead.refused(request)).code, request
        for request in (
            CreateKeyRequest(settings_json='{"name":"x","team":"acme/other"}'),
            CreateKeyRequest(settings_json='{"name":"x","permissions":["admin"]}'),
            UpdateKeyRequest(key="strong", patch_json='{"permissions":null}'),
            RotateKeyRequest(key="strong"),
            RevokeKeyRequest(key="strong"),
            ListKeyChangesRequest(key="mine"),
            GetTenantRequest(kind=TENANT_KIND_TEAM, name="acme/other"),
            GetTenantRequest(kind=TENANT_KIND_ORGANIZATION, name="acme"),
            ListTenantsRequest(kind=TENANT_KIND_TEAM),
            ListTopUpsRequest(budget=TEAM_BUDGET),
            ListAuditEventsRequest(),
        ):
            assert "PERMISSION_DENIED" == (await lead.refused(request)).code, request
        team = await lead.ask(GetTenantRequest(kind=TENANT_KIND_TEAM, name="acme/lab"))
        assert (TEAM_BUDGET, TEAM_BUDGET) == (team.tenant.budget, team.account.budget)
        names = {one.name for one in (await lead.ask(ListKeysRequest())).keys}
        accounts = {one.scope_value for one in (await lead.ask(ListAccountsRequest())).accounts}
    assert ({"lead", "mine", "strong"}, {"acme/lab"}) == (
        names & {"lead", "mine", "strong", "theirs", "test"},
        accounts,
    )
