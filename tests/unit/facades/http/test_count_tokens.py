"""Counting over HTTP: the key before the body, the number as it came, errors in Anthropic's shape."""

import hashlib
from dataclasses import replace

import pytest

from router.domain.catalog import Model
from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import Fault
from router.domain.ids import ModelName
from router.domain.principal import KeyEntry
from router.facades.http.app import build_app
from router.lifecycle import Phase
from tests.support.asgi import Exchange
from tests.support.asides import FedAsides
from tests.support.fakes import deployment, principal, snapshot
from tests.support.pipeline import Rig

PATH = "/v1/messages/count_tokens"
ASK = b'{"model":"small","messages":[{"role":"user","content":"hi"}]}'


class Stage:
    def __init__(self) -> None:
        sha256 = hashlib.sha256(b"narrow").digest()
        speaks = replace(deployment(), dialects=frozenset({Dialect.MESSAGES}))
        self.rig = Rig(
            replace(
                snapshot(),
                models={ModelName("small"): Model(name=ModelName("small"), deployments=(speaks,))},
                keys={sha256: KeyEntry(sha256=sha256, principal=principal("small"))},
            )
        )
        self.asides = FedAsides()
        self.asides.answer = b'{"input_tokens": 7}'
        self.app = build_app(pipeline=self.rig.pipeline, health=Phase(), max_body=200, asides=self.asides)

    async def ask(self, *parts: bytes, key: str = "narrow", **headers: str) -> Exchange:
        fields = {"x-api-key": key, **headers}
        return await Exchange(PATH, *(parts or (ASK,)), headers=fields).through(self.app)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_the_number_comes_as_the_provider_wrote_it(stage: Stage) -> None:
    said = await stage.ask(**{"anthropic-beta": "b", "x-other": "o"})

    assert (200, b'{"input_tokens": 7}', "up/model") == (said.status, said.body, said.headers["x-checkrein-deployment"])
    assert said.headers["request-id"] == said.headers["x-request-id"]
    assert "x-checkrein-notice" not in said.headers
    assert {b"x-request-id", b"anthropic-beta"} == {name for name, _ in stage.asides.asked[0].headers}


async def test_an_estimate_says_that_it_is_one(stage: Stage) -> None:
    stage.asides.answer = Failure(kind=FailureKind.CONNECT, message="m")
    said = await stage.ask()

    assert (200, "estimated", {"input_tokens": 8}) == (said.status, said.headers["x-checkrein-notice"], said.json)
    assert "x-checkrein-deployment" not in said.headers


@pytest.mark.parametrize(
    ("parts", "key", "status", "kind"),
    [
        ((ASK,), "nobody", 401, "authentication_error"),
        ((b"{",), "narrow", 400, "invalid_request_error"),
        ((ASK[:-1] + b',"stream":true}',), "narrow", 400, "invalid_request_error"),
        ((b'{"model":"small"}',), "narrow", 400, "invalid_request_error"),
        ((b" " * 300,), "narrow", 413, "request_too_large"),
        ((ASK.replace(b"small", b"large"),), "narrow", 404, "not_found_error"),
    ],
)
async def test_an_error_is_anthropics(stage: Stage, parts: tuple[bytes, ...], key: str, status: int, kind: str) -> None:
    said = await stage.ask(*parts, key=key)

    assert (status, "error", kind) == (said.status, said.json["type"], said.json["error"]["type"])
    assert said.json["request_id"] == said.headers["request-id"]
    assert 1 == len(stage.rig.telemetry.rejected)
    assert [] == stage.asides.asked


async def test_a_bad_key_has_its_body_not_read(stage: Stage) -> None:
    said = await stage.ask(b"x" * 300, key="nobody")

    assert ([Fault.INVALID_KEY], 401) == (stage.rig.telemetry.rejected, said.status)
