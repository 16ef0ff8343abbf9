"""Everything that is not inference: every route needs a key, every error has the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest
from fastapi import FastAPI

from router.domain.principal import KeyEntry, Permission, Principal
from router.facades.http.app import build_app
from router.facades.http.voice import VOICES
from router.lifecycle import Phase
from router.ports.ledger import CallRecord, LedgerUnavailable
from tests.support.asgi import Exchange
from tests.support.fakes import principal, snapshot
from tests.support.ledger_facts import STARTED_NS, reservation
from tests.support.pipeline import Rig

KEYS = {
    "narrow": principal("small"),
    "nobody": principal("gone"),
    "admin": Principal(key_id=principal().key_id, models=("*",), permissions=frozenset({Permission.ADMIN})),
}


def rig() -> Rig:
    entries = {}
    for key, who in KEYS.items():
        sha256 = hashlib.sha256(key.encode()).digest()
        entries[sha256] = KeyEntry(sha256=sha256, principal=who)
    return Rig(replace(snapshot(), keys=entries))


def app(of: Rig) -> FastAPI:
    return build_app(pipeline=of.pipeline, health=Phase(), max_body=1 << 20)


async def get(path: str, key: str | None = "narrow", of: Rig | None = None, method: str = "GET") -> Exchange:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return await Exchange(path, method=method, headers=headers).through(app(of or rig()))


async def test_models_are_those_that_the_key_may_use() -> None:
    narrow, admin = await get("/v1/models"), await get("/v1/models", "admin")

    assert ["small"] == [model["id"] for model in json.loads(narrow.body)["data"]]
    assert ["hidden", "small"] == [model["id"] for model in json.loads(admin.body)["data"]]
    assert json.loads((await get("/v1/models/small")).body) == json.loads(narrow.body)["data"][0]


async def test_a_model_has_what_openais_and_anthropics_clients_expect_of_one() -> None:
    assert {
        "id": "small",
        "object": "model",
        "created": 1_800_000_000,
        "owned_by": "up",
        "type": "model",
        "display_name": "small",
        "created_at": "2027-01-15T08:00:00Z",
        "lifecycle": "active",
    } == json.loads((await get("/v1/models/small")).body)


async def test_a_list_of_models_says_that_it_is_all_of_them() -> None:
    listed = json.loads((await get("/v1/models", "admin")).body)

    assert ("list", False, "hidden", "small") == tuple(
        listed[name] for name in ("object", "has_more", "first_id", "last_id")
    )


async def test_a_key_without_models_has_an_empty_list() -> None:
    assert {"object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None} == json.loads(
        (await get("/v1/models", "nobody")).body
    )


@pytest.mark.parametrize(
    ("path", "key", "method", "status", "code"),
    [
        ("/v1/models", None, "GET", 401, "invalid_api_key"),
        ("/v1/models/hidden", "narrow", "GET", 404, "model_not_found"),
        ("/checkrein/v1/calls/nonsense", "narrow", "GET", 404, "not_found"),
        ("/nowhere", None, "GET", 404, "unknown_url"),
        ("/livez/", None, "GET", 404, "unknown_url"),
        ("/v1/models", "admin", "DELETE", 405, "method_not_allowed"),
    ],
)
async def test_every_error_has_the_shape_and_is_counted(
    path: str, key: str | None, method: str, status: int, code: str
) -> None:
    on = rig()
    answer = await get(path, key, on, method)

    assert (status, code) == (answer.status, answer.error["code"])
    assert {"message", "type", "param", "code"} == set(answer.error)
    assert "application/json" == answer.headers["content-type"]
    assert 32 == len(answer.headers["x-request-id"])
    assert 1 == len(on.telemetry.rejected)
    assert ("GET" if status == 405 else None) == answer.headers.get("allow")


async def test_a_call_is_shown_and_a_broken_ledger_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    on = rig()
    await on.ledger.reserve(reservation(7), STARTED_NS)
    call_id = "call_0000000000000007"
    shown = await get(f"/checkrein/v1/calls/{call_id}", "admin", on)

    async def broken(_call: object) -> CallRecord | None:
        raise LedgerUnavailable("disk full at /secret/place")

    monkeypatch.setattr(on.ledger, "read_call", broken)
    down = await get(f"/checkrein/v1/calls/{call_id}", "admin", on)

    assert (200, "open") == (shown.status, json.loads(shown.body)["outcome"])
    assert (503, "overloaded") == (down.status, down.error["code"])
    assert b"secret" not in down.body


async def test_the_document_describes_the_hot_routes_and_the_error_shape() -> None:
    document = json.loads((await get("/openapi.json", None)).body)

    for path, voice in VOICES.items():
        post = document["paths"][f"/v1{path}"]["post"]
        assert voice.grammar.content in post["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"/v1/models", "/v1/models/{model_id}", "/checkrein/v1/calls/{call_id}", "/livez"} <= set(document["paths"])
    assert "Error" in document["components"]["schemas"]
    assert "/models" not in document["paths"]
