"""Replies that a provider stores, over sockets: whoever builds on one is sent to its holder, and only its key may."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support import fake_upstream as fake
from tests.support.dialects import response, response_events, streamed, whole
from tests.support.fake_upstream import Handler, Reply, Request
from tests.support.pool import RICH_KEYS, Pool, at, pool, served_by
from tests.support.waiting import until
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

OTHER = "sk-other-key"
SPEAKS = ["chat", "responses"]
WINDOW = {"context_window": 10_000}
"""With it, what is read of an earlier reply has a bound, and so a price."""
MODELS = [
    served_by(
        "gpt",
        at("o1", name="gpt1", model="gpt-5", **WINDOW),
        at("o2", name="gpt2", model="gpt-5", **WINDOW),
        fallbacks=["solo"],
    ),
    served_by("solo", at("o1", name="solo", model="gpt-5", **WINDOW)),
    served_by("talk", at("c", name="talk", model="small", **WINDOW)),
    served_by("mixed", at("c", name="mixed1", weight=9, **WINDOW), at("o2", name="mixed2", weight=1, **WINDOW)),
]
KEYS = [*RICH_KEYS, {"name": "other", "key": OTHER, "models": ["*"]}]
MEMBERS = {
    "o1": {"dialects": SPEAKS},
    "o2": {"dialects": SPEAKS},
    "c": {"dialects": ["chat"]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    folder = tmp_path_factory.mktemp("router")
    async with pool(folder, "o1", "o2", "c", models=MODELS, keys=KEYS, members=MEMBERS) as providers:
        yield providers


@pytest.fixture
def live(running: Pool) -> Pool:
    live = running.start_over()
    for name in ("o1", "o2"):
        live.upstreams[name].handler = stores(name)
    return live


_numbers = itertools.count(1)


def stores(name: str) -> Handler:
    """A provider that gives each reply an id of its own."""

    def handler(request: Request) -> Reply:
        body = {**response(), "id": f"resp_{name}_{next(_numbers)}"}
        return whole(body)

    return handler


async def ask(live: Pool, path: str = "/v1/responses", key: str = "sk-test-key", **body: object) -> Answer:
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body={"model": "gpt", "input": "Say hello.", **body}, target=path, key=key))
        return await caller.answer()


async def first(live: Pool, **body: object) -> tuple[str, str]:
    """Make a reply; return its id and its provider."""
    reply = await ask(live, **body)
    assert 200 == reply.status, reply.body
    reply_id: str = json.loads(reply.body)["id"]
    (provider,) = live.asked
    for upstream in live.upstreams.values():
        upstream.requests.clear()
    return reply_id, provider


async def test_each_turn_goes_to_the_holder_of_the_one_before(live: Pool) -> None:
    for _ in range(4):
        reply_id, holder = await first(live)
        for turn in range(4):
            reply = await ask(live, input=f"turn {turn}", previous_response_id=reply_id)
            assert 200 == reply.status
            assert reply_id == live.upstreams[holder].requests[-1].json["previous_response_id"]
            reply_id = json.loads(reply.body)["id"]
        assert {holder: 4} == live.asked
        live.upstreams[holder].requests.clear()


async def test_the_reply_of_a_stream_is_stored_as_well(live: Pool) -> None:
    live.script(o1=streamed(response_events("a b")), o2=streamed(response_events("a b")))
    assert b"resp_1" in (await ask(live, stream=True)).body
    (holder,) = live.asked
    for _ in range(6):
        await ask(live, stream=True, previous_response_id="resp_1")

    assert {holder: 7} == live.asked


async def test_another_key_learns_nothing_of_it(live: Pool) -> None:
    reply_id, _ = await first(live)
    foreign = await ask(live, key=OTHER, previous_response_id=reply_id)
    nobody_s = await ask(live, key=OTHER, previous_response_id="resp_nobody")
    solo = await ask(live, key=OTHER, model="solo", previous_response_id=reply_id)

    assert {} == live.asked
    assert [(404, bytes(nobody_s.body))] * 3 == [
        (reply.status, bytes(reply.body)) for reply in (foreign, nobody_s, solo)
    ]
    assert ("not_found", "previous_response_id") == (foreign.error["code"], foreign.error["param"])


async def test_a_holder_that_fails_has_no_stand_in(live: Pool) -> None:
    reply_id, holder = await first(live)
    live.script(**{holder: lambda _: fake.error(500)})
    reply = await ask(live, previous_response_id=reply_id)

    assert (502, {holder}) == (reply.status, set(live.asked))


async def test_an_unknown_id_is_passed_on_where_only_one_can_mean_it(live: Pool) -> None:
    assert 200 == (await ask(live, model="solo", previous_response_id="resp_elsewhere")).status
    assert 200 == (await ask(live, model="solo", conversation={"id": "conv_1"})).status
    replies = [await ask(live, model="mixed", previous_response_id="resp_elsewhere") for _ in range(4)]

    assert {200} == {reply.status for reply in replies}
    assert {"o1": 2, "o2": 4} == live.asked


async def test_who_stores_nothing_says_so_by_name(live: Pool) -> None:
    reply = await ask(live, model="talk", previous_response_id="resp_1x")

    assert (400, "previous_response_id", {}) == (reply.status, reply.error["param"], live.asked)


async def test_work_in_the_background_is_refused(live: Pool) -> None:
    replies = [await ask(live, model=model, background=True) for model in ("gpt", "solo", "talk")]

    assert [(400, "background")] * 3 == [(reply.status, reply.error["param"]) for reply in replies]
    assert {} == live.asked


async def test_a_reply_that_is_not_to_be_stored_is_not_remembered(live: Pool) -> None:
    reply_id, _ = await first(live, store=False)

    assert 404 == (await ask(live, previous_response_id=reply_id)).status


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    known = []
    for _ in range(2):
        async with pool(tmp_path, "o1", "o2", "c", models=MODELS, keys=KEYS, members=MEMBERS) as live:
            for name in ("o1", "o2"):
                live.upstreams[name].handler = stores(name)
            for reply_id, holder in known:
                reply = await ask(live, previous_response_id=reply_id)
                assert (200, {holder: 1}) == (reply.status, live.asked)
                live.upstreams[holder].requests.clear()
            if not known:
                known = [await first(live) for _ in range(6)]


async def sent(live: Pool, method: str, target: str, key: str = "sk-test-key") -> tuple[int, dict[str, Any]]:
    async with live.router.client(key) as client:
        reply = await client.request(method, target)
        return reply.status_code, reply.json()


ROUTES = [
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/input_items?limit=2&include%5B%5D=a"),
    ("POST", "/cancel"),
]


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize(("method", "rest"), ROUTES)
async def test_a_stored_reply_is_asked_for_at_its_holder(live: Pool, prefix: str, method: str, rest: str) -> None:
    reply_id, holder = await first(live)
    await live.router.idle()
    rows = len(live.router.rows())
    failed = {"id": reply_id, "object": "response", "error": {"code": "server_error", "message": "m"}}
    live.script(**{holder: lambda _: whole(failed)})
    answer = await sent(live, method, f"{prefix}/responses/{reply_id}{rest}")
    (asked,) = live.upstreams[holder].requests

    assert ((200, failed), {holder: 1}) == (answer, live.asked)
    assert (method, f"/v1/responses/{reply_id}{rest}", b"") == (asked.method, asked.target, asked.body)
    await live.router.idle()
    assert rows == len(live.router.rows())


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")]
)
async def test_what_another_key_stored_is_not_there(live: Pool, method: str, rest: str) -> None:
    reply_id, _ = await first(live)
    foreign = await sent(live, method, f"/v1/responses/{reply_id}{rest}", OTHER)
    nobody_s = await sent(live, method, f"/v1/responses/resp_nobody{rest}", OTHER)
    unknown = await sent(live, method, f"/v1/responses/{reply_id}{rest}", "sk-nobody")

    assert (404, "not_found") == (foreign[0], foreign[1]["error"]["code"])
    assert (foreign, 401, {}) == (nobody_s, unknown[0], live.asked)


async def test_an_error_of_the_holder_is_told_as_it_is(live: Pool) -> None:
    reply_id, holder = await first(live)
    live.script(**{holder: lambda _: fake.error(404, "It was deleted.", code="gone")})
    status, body = await sent(live, "POST", f"/v1/responses/{reply_id}/cancel")

    assert (404, "It was deleted.", "gone") == (status, body["error"]["message"], body["error"]["code"])


async def test_a_stored_reply_is_not_streamed(live: Pool) -> None:
    reply_id, _ = await first(live)
    status, body = await sent(live, "GET", f"/v1/responses/{reply_id}?stream=true")

    assert (400, "stream", {}) == (status, body["error"]["param"], live.asked)


async def test_openais_sdk_goes_on_from_a_reply_and_cancels_it(live: Pool) -> None:
    async with live.stage.sdk() as client:
        made = await client.responses.create(model="gpt", input="hi")
        (holder,) = live.asked
        again = await client.responses.create(model="gpt", input="go on", previous_response_id=made.id)
        assert {holder: 2} == live.asked
        assert "Hello there" == again.output_text
        cancelled = await client.responses.cancel(again.id)

    assert cancelled.id
    assert f"/v1/responses/{again.id}/cancel" == live.upstreams[holder].requests[-1].target


async def test_openais_sdk_reads_and_deletes_a_reply(live: Pool) -> None:
    async with live.stage.sdk() as client:
        made = await client.responses.create(model="gpt", input="hi")
        (holder,) = live.asked
        shown = await client.responses.retrieve(made.id)
        await client.responses.input_items.list(made.id)
        await client.responses.delete(made.id)

    assert "Hello there" == shown.output_text
    assert ["POST", "GET", "GET", "DELETE"] == [asked.method for asked in live.upstreams[holder].requests]


async def test_a_caller_that_leaves_closes_the_holder(live: Pool) -> None:
    reply_id, holder = await first(live)
    live.script(**{holder: fake.silence(asyncio.Event())})
    async with wire(live.router.http_port) as caller:
        await caller.send(post(body={}, target=f"/v1/responses/{reply_id}/cancel"))
        asked = await live.upstreams[holder].received(1)
    async with asyncio.timeout(5):
        await asked.closed.wait()
    await until(lambda: not live.router.lifecycle._pipeline.gate.permits.gauges(), within_s=5)
