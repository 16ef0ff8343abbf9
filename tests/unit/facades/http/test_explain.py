"""The dry run over HTTP: the key first, the request within its bound, every error in the one shape."""

import hashlib
import json
from dataclasses import replace

import pytest

from router.domain.catalog import Model, Snapshot, Strategy
from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.breakers import Passage
from router.domain.dispatch.failure import Failure, FailureKind, verdict_of
from router.domain.governance.rate import RateLimit, Unit, costs_of
from router.domain.ids import DeploymentId, ModelName
from router.domain.principal import KeyEntry
from router.facades.http.app import build_app
from router.lifecycle import Phase
from tests.support.asgi import Exchange
from tests.support.fakes import SECOND, deployment, eject, principal, snapshot
from tests.support.pipeline import Rig

PATH = "/checkrein/v1/route/explain"
ASK = b'{"model":"small","messages":[{"role":"user","content":"hi"}],"max_tokens":10}'
PLACES = tuple(replace(deployment(), id=DeploymentId(name)) for name in ("up/a", "up/b"))


def rig(of: Snapshot | None = None) -> Rig:
    sha256 = hashlib.sha256(b"narrow").digest()
    entry = KeyEntry(sha256=sha256, principal=principal("small"))
    return Rig(replace(of or snapshot(), keys={sha256: entry}))


def two() -> Snapshot:
    model = Model(name=ModelName("small"), deployments=PLACES, strategy=Strategy.COST)
    return replace(snapshot(), models={model.name: model})


async def ask(on: Rig, *parts: bytes, key: str | None = "narrow", **headers: str) -> Exchange:
    fields = headers if key is None else {"authorization": f"Bearer {key}", **headers}
    app = build_app(pipeline=on.pipeline, health=Phase(), max_body=200)
    return await Exchange(PATH, *(parts or (ASK,)), headers=fields).through(app)


async def test_a_route_is_shown() -> None:
    reply = await ask(rig())
    route = json.loads(reply.body)

    assert 200 == reply.status
    assert ("route", "small", "small", "weighted", "up/model", True, False) == tuple(
        route[name] for name in ("object", "asked_model", "model", "strategy", "target", "admitted", "observed")
    )
    assert (None, None, [], {"any": [], "context": [], "policy": []}) == tuple(
        route[name] for name in ("substituted", "home", "dropped", "fallbacks")
    )
    (candidate,) = route["candidates"]
    assert ("up/model", "up", "model", 1, "weight", 1.0, True, []) == tuple(
        candidate[name]
        for name in ("target", "provider", "upstream_model", "tier", "figure", "value", "admitted", "policies")
    )
    assert not candidate["spared"]
    assert 100_000 < candidate["ceiling_nano_usd"]


async def test_who_rests_is_shown_with_the_end_of_its_rest_and_no_price_is_null() -> None:
    on = rig(replace(two(), models={"small": replace(two().models[ModelName("small")], deployments=(
        PLACES[0], replace(PLACES[1], price=None)))}))  # type: ignore[dict-item]  # a name  # fmt: skip
    passage = on.pipeline.means.breakers.enter(PLACES[0], on.clock.monotonic)
    assert isinstance(passage, Passage)
    failure = Failure(kind=FailureKind.STATUS, message="m", status=429)
    passage.failed(verdict_of(failure), now=on.clock.monotonic, retry_after_ns=SECOND, again=False)
    route = json.loads((await ask(on)).body)

    (dropped,) = route["dropped"]
    assert ("up/a", "resting", None) == (dropped["target"], dropped["reason"], dropped["detail"])
    assert 1_800_000_001_000 <= dropped["until_ms"] < 1_800_000_003_000
    assert [("up/b", "price_nano_usd", None, None)] == [
        (one["target"], one["figure"], one["value"], one["ceiling_nano_usd"]) for one in route["candidates"]
    ]


async def test_who_is_ejected_and_who_is_spared_is_shown() -> None:
    on = rig(two())
    eject(on.pipeline.means.breakers, PLACES[0], on.clock.monotonic)
    before = json.loads((await ask(on)).body)
    eject(on.pipeline.means.breakers, PLACES[1], on.clock.monotonic)
    after = json.loads((await ask(on)).body)

    assert [("up/a", "ejected", None)] == [(one["target"], one["reason"], one["detail"]) for one in before["dropped"]]
    assert 1_800_000_000_000 < before["dropped"][0]["until_ms"]
    assert [False] == [one["spared"] for one in before["candidates"]]
    assert ([True, True], []) == ([one["spared"] for one in after["candidates"]], after["dropped"])


async def test_who_has_no_room_and_who_speaks_no_such_dialect_is_shown() -> None:
    minute = RateLimit(
        id="r", scope_kind="deployment", scope_value="a", unit=Unit.TOKENS, limit=60, period_ns=60 * SECOND
    )
    places = (
        replace(PLACES[0], rate_limits=(minute,)),
        PLACES[1],
        replace(PLACES[1], id=DeploymentId("up/c"), dialects=frozenset({Dialect.EMBEDDINGS})),
    )
    on = rig(replace(two(), models={ModelName("small"): replace(two().models[ModelName("small")], deployments=places)}))
    on.pipeline.gate.rates.charge((minute,), costs_of(requests=1, input_tokens=0, output_tokens=55), on.clock.monotonic)
    route = json.loads((await ask(on)).body)

    assert ["up/b", "up/a"] == [one["target"] for one in route["candidates"]]
    foreign, no_room = route["dropped"]
    assert {"target": "up/c", "reason": "dialect", "detail": "chat", "until_ms": None} == foreign
    assert ("up/a", "no_room", None) == (no_room["target"], no_room["reason"], no_room["detail"])
    assert 1_800_000_000_000 < no_room["until_ms"] < 1_800_000_060_000


@pytest.mark.parametrize(
    ("key", "body", "headers", "status", "code"),
    [
        (None, ASK, {}, 401, "invalid_api_key"),
        ("narrow", b"{", {}, 400, None),
        ("narrow", ASK.replace(b"small", b"hidden"), {}, 403, "model_not_allowed"),
        ("narrow", ASK.replace(b"small", b"nothing"), {}, 404, "model_not_found"),
        ("narrow", b" " * 201, {}, 413, "request_too_large"),
        ("narrow", ASK, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ("narrow", ASK, {"x-checkrein-timeout": "soon"}, 400, None),
    ],
)
async def test_every_error_has_the_shape(
    key: str | None, body: bytes, headers: dict[str, str], status: int, code: str | None
) -> None:
    on = rig()
    reply = await ask(on, body, key=key, **headers)

    assert (status, code) == (reply.status, reply.error["code"])
    assert {"message", "type", "param", "code"} == set(reply.error)
    assert [] == on.upstreams.requests


async def test_the_route_is_documented_with_the_body_of_a_chat_request() -> None:
    exchange = Exchange("/openapi.json", method="GET")
    document = json.loads((await exchange.through(build_app(pipeline=rig().pipeline, health=Phase()))).body)
    paths = document["paths"]

    assert paths["/v1/chat/completions"]["post"]["requestBody"] == paths[PATH]["post"]["requestBody"]
    assert "RouteView" in document["components"]["schemas"]
