"""The contract of the `Aside` port: asked below a dialect's route, answered whole, with the provider's own words."""

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from router.adapters.upstreams.http_upstream import HttpUpstream
from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.ports.aside import Aside, AsideRequest, Method
from router.ports.upstream import UpstreamFailed
from tests.support import fake_upstream
from tests.support.fake_upstream import Cut, FakeUpstream, Framing, Reply
from tests.support.upstream_calls import API_KEY, MS, SECOND, over
from tests.support.waiting import turns

CANCEL = AsideRequest(credential="", dialect=Dialect.RESPONSES, below=("resp_1", "cancel"), total_ns=20 * SECOND)


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def aside(fake: FakeUpstream) -> AsyncIterator[HttpUpstream]:
    upstream = over(fake)
    yield upstream
    await upstream.close()


def said(body: object) -> Reply:
    return Reply(steps=(json.dumps(body).encode(),))


async def failure_of(aside: Aside, request: AsideRequest = CANCEL) -> Failure:
    with pytest.raises(UpstreamFailed) as failed:
        await aside.ask(request)
    return failed.value.failure


async def test_it_is_asked_below_the_route_with_the_credential(fake: FakeUpstream, aside: Aside) -> None:
    fake.script(said({"id": "resp_1"}))
    asked = msgspec.structs.replace(CANCEL, query=(("include[]", "a b"), ("limit", "2")), headers=((b"x-a", b"1"),))
    answer = await aside.ask(asked)
    (seen,) = fake.requests

    assert b'{"id": "resp_1"}' == answer
    assert ("POST", "/v1/responses/resp_1/cancel?include%5B%5D=a+b&limit=2", b"") == (
        seen.method,
        seen.target,
        seen.body,
    )
    assert (f"Bearer {API_KEY}", "1") == (seen.headers["authorization"], seen.headers["x-a"])


@pytest.mark.parametrize("method", [Method.GET, Method.DELETE])
async def test_it_is_asked_by_any_method(method: Method, fake: FakeUpstream, aside: Aside) -> None:
    fake.script(said({"id": "resp_1"}))
    await aside.ask(msgspec.structs.replace(CANCEL, method=method, below=("resp_1",)))

    assert [(method, "/v1/responses/resp_1")] == [(seen.method, seen.target) for seen in fake.requests]


async def test_a_piece_of_the_path_is_one_piece(fake: FakeUpstream, aside: Aside) -> None:
    fake.script(said({}))
    await aside.ask(msgspec.structs.replace(CANCEL, below=("a/../b?c\r\nx: y",)))
    (seen,) = fake.requests

    assert "/v1/responses/a%2F..%2Fb%3Fc%0D%0Ax%3A%20y" == seen.target
    assert "x" not in seen.headers


async def test_what_a_reply_failed_of_is_part_of_the_answer(fake: FakeUpstream, aside: Aside) -> None:
    failed = {"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "m"}}
    fake.script(said(failed))

    assert failed == json.loads(await aside.ask(CANCEL))


@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        (fake_upstream.error(404, "No such reply."), FailureKind.STATUS, 404),
        (Reply(steps=(b"",)), FailureKind.EMPTY, None),
        (Reply(steps=(b"<html>",)), FailureKind.MALFORMED, None),
        (Reply(steps=(b'{"id"', Cut.CLOSE), framing=Framing.CHUNKED), FailureKind.CUT, None),
        (Reply(before_head=(Cut.RESET,)), FailureKind.RESET, None),
    ],
)
async def test_what_is_no_answer_is_a_failure(
    reply: Reply, kind: FailureKind, status: int | None, fake: FakeUpstream, aside: Aside
) -> None:
    fake.script(reply)
    failure = await failure_of(aside)

    assert (kind, status) == (failure.kind, failure.status)


async def test_it_takes_no_longer_than_it_may(fake: FakeUpstream, aside: Aside) -> None:
    never = asyncio.Event()
    fake.script(fake_upstream.silence(never))
    async with asyncio.timeout(10):
        failure = await failure_of(aside, msgspec.structs.replace(CANCEL, total_ns=50 * MS))

    assert FailureKind.TOTAL_TIMEOUT == failure.kind
    await fake.requests[0].closed.wait()


async def test_a_credential_that_is_gone_is_not_replaced(fake: FakeUpstream, aside: Aside) -> None:
    failure = await failure_of(aside, msgspec.structs.replace(CANCEL, credential="gone"))

    assert FailureKind.CONNECT == failure.kind
    assert [] == fake.requests


async def test_whoever_leaves_closes_the_connection(fake: FakeUpstream, aside: Aside) -> None:
    never = asyncio.Event()
    fake.script(fake_upstream.silence(never))
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(aside.ask(CANCEL))
        await fake.received(1)
        await turns(3)
        asking.cancel()
    async with asyncio.timeout(5):
        await fake.requests[0].closed.wait()
