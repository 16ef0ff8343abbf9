"""Stored replies over HTTP: the key first, the caller's query along, the answer as it came."""

import hashlib
from dataclasses import replace

import msgspec
import pytest

from router.domain.ids import DeploymentId, ProviderId
from router.domain.principal import KeyEntry
from router.domain.settlement import StoredReply
from router.facades.http.app import build_app
from router.lifecycle import Phase
from router.ports.aside import Method
from tests.support.asgi import Exchange
from tests.support.asides import FedAsides
from tests.support.fakes import principal, snapshot
from tests.support.ledger_facts import settlement
from tests.support.pipeline import Rig

REPLY = StoredReply("resp_1", DeploymentId("up/model"), ProviderId("up"), "")
ANSWER = b'{"id": "resp_1",  "spaced":true}'


class Stage:
    def __init__(self) -> None:
        sha256 = hashlib.sha256(b"narrow").digest()
        self.rig = Rig(replace(snapshot(), keys={sha256: KeyEntry(sha256=sha256, principal=principal("small"))}))
        self.rig.pipeline.recall.remember(msgspec.structs.replace(settlement(1), started_ns=self.rig.clock.wall), REPLY)
        self.asides = FedAsides()
        self.asides.answer = ANSWER
        self.app = build_app(pipeline=self.rig.pipeline, health=Phase(), asides=self.asides)

    async def ask(self, method: str, path: str, query: str = "", key: str = "narrow", **headers: str) -> Exchange:
        fields = {"authorization": f"Bearer {key}", **headers}
        return await Exchange(path, method=method, query=query, headers=fields).through(self.app)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize(
    ("method", "rest", "below"),
    [
        (Method.GET, "", ("resp_1",)),
        (Method.DELETE, "", ("resp_1",)),
        (Method.POST, "/cancel", ("resp_1", "cancel")),
        (Method.GET, "/input_items", ("resp_1", "input_items")),
    ],
)
async def test_each_route_asks_for_its_own(
    stage: Stage, prefix: str, method: Method, rest: str, below: tuple[str, ...]
) -> None:
    said = await stage.ask(
        method, f"{prefix}/responses/resp_1{rest}", "limit=2&include[]=a%20b&stream=false", traceparent="00-t"
    )
    (asked,) = stage.asides.asked

    assert (200, ANSWER, "application/json") == (said.status, said.body, said.headers["content-type"])
    assert (method, below, (("limit", "2"), ("include[]", "a b"), ("stream", "false"))) == (
        asked.method,
        asked.below,
        asked.query,
    )
    request_id = said.headers["x-request-id"].encode()
    assert ((b"x-request-id", request_id), (b"traceparent", b"00-t")) == asked.headers


@pytest.mark.parametrize(
    ("query", "key", "headers", "status", "param"),
    [
        ("stream=true", "narrow", {}, 400, "stream"),
        ("stream=True", "narrow", {}, 400, "stream"),
        ("a=1&" * 33, "narrow", {}, 400, None),
        ("", "nobody", {}, 401, None),
        ("", "narrow", {"x-checkrein-timeout": "never"}, 400, "x-checkrein-timeout"),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anybody_is(
    stage: Stage, query: str, key: str, headers: dict[str, str], status: int, param: str | None
) -> None:
    said = await stage.ask("GET", "/v1/responses/resp_1", query, key, **headers)

    assert (status, param) == (said.status, said.json["error"]["param"])
    assert [] == stage.asides.asked


@pytest.mark.parametrize("path", ["/v1/responses/resp_2", "/v1/responses/a%2Fb", "/v1/responses/resp_1/more"])
async def test_what_is_not_there_is_not_asked_for(stage: Stage, path: str) -> None:
    assert 404 == (await stage.ask("GET", path)).status
    assert [] == stage.asides.asked


async def test_the_routes_are_described() -> None:
    stage = Stage()
    paths = (await stage.ask("GET", "/openapi.json")).json["paths"]

    assert {"get", "delete"} == set(paths["/v1/responses/{response_id}"])
    assert "post" in paths["/v1/messages/count_tokens"]
    assert "/responses/{response_id}" not in paths
