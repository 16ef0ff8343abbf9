"""How litellm's HTTP client and our transport meet."""

import asyncio
import contextvars

import httpx
import pytest

from router.adapters.transport_httptools import transport_to
from router.adapters.upstreams.litellm_exchange import Exchange, Origins
from router.adapters.upstreams.litellm_wire import WireTransport
from tests.support.fake_upstream import FakeUpstream, Framing, Reply
from tests.support.transport_calls import LOCAL, provider


async def ask(fake: FakeUpstream, path: str = "/v1/x?a=b") -> tuple[httpx.Response, Exchange]:
    origins = Origins(lambda origin: transport_to(provider(origin), LOCAL))
    exchange = Exchange(origins, {})
    exchange.enter()
    async with httpx.AsyncClient(transport=WireTransport(), trust_env=False) as client:
        response = await client.post(f"{fake.url}{path}", json={"a": 1}, headers={"x-key": "k"})
    await origins.close()
    return response, exchange


async def test_a_request_goes_out_as_it_is_and_the_reply_comes_back_whole() -> None:
    async with FakeUpstream() as fake:
        fake.script(Reply(steps=(b'{"b"', b":2}"), headers=(("x-b", "2"),), framing=Framing.CHUNKED))
        response, exchange = await ask(fake)

    (seen,) = fake.requests
    assert ("POST", "/v1/x?a=b", b'{"a":1}') == (seen.method, seen.target, seen.body)
    assert ("k", f"127.0.0.1:{fake.port}") == (seen.headers["x-key"], seen.headers["host"])
    assert ({"b": 2}, "2", 200) == (response.json(), response.headers["x-b"], exchange.status)
    assert "transfer-encoding" not in response.headers


async def test_a_refusal_comes_back_with_its_body() -> None:
    async with FakeUpstream() as fake:
        fake.script(Reply(status=429, steps=(b"slow down",), headers=(("retry-after", "3"),)))
        response, exchange = await ask(fake)

    assert (429, "slow down", "3") == (response.status_code, response.text, response.headers["retry-after"])
    assert b"slow down" == exchange.refusal


async def test_outside_of_a_call_nothing_is_sent() -> None:
    async def alone() -> None:
        async with httpx.AsyncClient(transport=WireTransport(), trust_env=False) as client:
            await client.post("http://127.0.0.1:1/")

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(caught(alone), context=contextvars.Context())
    assert isinstance(task.result(), LookupError)


async def caught(run: object) -> Exception | None:
    with pytest.raises(LookupError) as info:
        await run()  # type: ignore[operator]
    return info.value
