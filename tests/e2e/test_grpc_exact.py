"""What is asked and answered as JSON over gRPC is byte for byte what HTTP passes on, and a bad key is a bad key.

T14a, T15 and T11b over gRPC; the same over HTTP: test_lossless.py, test_keys.py.
"""

import asyncio
import json
from decimal import Decimal
from typing import Any

import grpc
import pytest
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import StreamChatCompletionRequest

from router.facades.grpc.encode import encoded
from tests.e2e.test_budgets import endless
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Gap, Reply, Request, Step
from tests.support.grpc_calls import Told, chats
from tests.support.money import INPUT_BOUND, KEYS, model, request_of, worst_case
from tests.support.running import KEY, chat
from tests.support.stage import Stage
from tests.support.wire import Answer, post, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ASKED = json.dumps(chat()).encode()
NICKEL = "sk-test-nickel"
ODD_REQUEST = (
    b'{ "x_new":{"b":1.0,"a":[ ]},"model":"small", "seed":-0,"temperature":1e0,"n" : 1,"top_p":0.10,'
    b'"messages":[{"role":"user","content":"\\u00e9\\/ \xc3\xa9 \\ud83e\\udd84","x":null,"name":""}],'
    b'"metadata":{"k":"v"},"stop":[],"tools":[{"type":"function","function":{"name":"f",'
    b'"parameters":{"z":1,"a":{"maximum":1e400,"n":12345678901234567890}}}}],"user":null,"logit_bias":{"1":-100}}'
)
"""Blanks, escapes, spellings of numbers, members that nobody knows, null and [] and absent apart."""
ODD_REPLY = (
    b'{ "x":[1.0, 1e2],"id":"x", "choices":[{"index":0,"message":{"content":"\\u00e9\\ud83e\\udd84","role":"assistant",'
    b'"x_new":null},"finish_reason":"stop","logprobs":null}],"created":1.0 ,"model":"m","usage":{"prompt_tokens":1,'
    b'"completion_tokens":1,"total_tokens":2,"x":{}},"n":123456789012345678901234567890}'
)
ODD_CHUNKS = (
    b'{"choices":[{"index":0,"delta":{"content":"\\u00e9","x":[ ]},"finish_reason":null}], "n":1.0}',
    b'{"choices":[],"x_odd":  {"deep":[[[[[[[1]]]]]]]}}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop","logprobs":null}],"model":null}',
)


@pytest.fixture(scope="module")
def sections() -> dict[str, object]:
    nickel = {"name": "nickel", "key": NICKEL, "budget": {"limit_usd": 0.05, "window": "lifetime"}}
    gone = [
        {"name": "revoked", "key": "sk-test-revoked", "revoked": True},
        {"name": "expired", "key": "sk-test-expired", "expires": "2020-01-01"},
    ]
    return {"models": [model()], "keys": [*KEYS, nickel, *gone]}


def odd(request: Request) -> Reply:
    if request.json.get("stream"):
        return fake.event_stream(*[b"data: " + one + b"\n\n" for one in ODD_CHUNKS], b"data: [DONE]\n\n")
    return Reply(steps=(ODD_REPLY,))


async def over_http(stage: Stage, body: bytes) -> Answer:
    async with wire(stage.router.http_port) as caller:
        await caller.send(post(body=body))
        return await caller.answer()


def streamed(body: bytes) -> bytes:
    return body.replace(b'{ "x_new"', b'{"stream":true, "x_new"', 1)


async def test_a_whole_call_is_the_same_bytes_in_both_directions(stage: Stage) -> None:
    """T14a, T15."""
    stage.upstream.handler = odd
    plain = await over_http(stage, ODD_REQUEST)
    async with chats(stage.router.grpc_port) as caller:
        told = await caller.create(ODD_REQUEST)
    over_http_, over_grpc = [request.body for request in stage.upstream.requests]

    assert ("OK", [ODD_REPLY]) == (told.code, told.bodies)
    assert ODD_REPLY == plain.body
    assert over_http_ == over_grpc


async def test_a_stream_is_the_same_bytes_in_both_directions(stage: Stage) -> None:
    """T14a, T15: the events' data, one for one."""
    stage.upstream.handler = odd
    plain = await over_http(stage, streamed(ODD_REQUEST))
    async with chats(stage.router.grpc_port) as caller:
        told = await caller.stream(streamed(ODD_REQUEST))
    over_http_, over_grpc = [request.body for request in stage.upstream.requests]

    assert "OK" == told.code
    assert list(ODD_CHUNKS) == told.bodies == [event.encode() for event in plain.events[:-1]]
    assert over_http_ == over_grpc


@pytest.mark.parametrize("typed", [False, True])
async def test_each_token_is_read_before_the_next_one_is_made(stage: Stage, *, typed: bool) -> None:
    """T21a: nothing waits to be sent with what comes later."""
    made = [asyncio.Event() for _ in range(49)]

    def one_by_one(request: Request) -> Reply:
        steps: list[Step] = []
        for index, event in enumerate(made):
            steps += [event, fake.chunk(request, {"content": fake.word(index)})]
        return fake.event_stream(*steps, *fake.ending(request, 49))

    stage.upstream.handler = one_by_one
    form = {"chat": encoded(ChatCompletionRequest, ASKED)} if typed else {"chat_json": ASKED}
    async with chats(stage.router.grpc_port) as caller, asyncio.timeout(20):
        request = StreamChatCompletionRequest(**form)
        call = caller.stub.StreamChatCompletion(request, metadata=(("authorization", f"Bearer {KEY}"),))
        made[0].set()
        kinds = [(await call.read()).WhichOneof("event")]
        for event in [*made[1:], asyncio.Event()]:
            kinds.append((await call.read()).WhichOneof("event"))
            event.set()
        last = ""
        while last != "summary":
            last = (await call.read()).WhichOneof("event")
        code = await call.code()

    assert ["served", *["chunks" if typed else "chunks_json"] * 49] == kinds
    assert grpc.StatusCode.OK is code


async def test_a_typed_call_asks_for_the_same_and_loses_no_number(stage: Stage) -> None:
    """T14a: its members stand in another order; numbers are the same, if not their spelling."""
    stage.upstream.handler = odd
    async with chats(stage.router.grpc_port) as caller:
        raw = await caller.create(ODD_REQUEST)
        typed = await caller.create(ODD_REQUEST, typed=True)
    first, second = [exactly(request.body) for request in stage.upstream.requests]

    assert ("OK", "OK") == (raw.code, typed.code)
    assert first == second
    assert exactly(ODD_REPLY) == exactly(typed.bodies[0])


def exactly(body: bytes) -> Any:
    """Read JSON with all digits of its numbers: `1e0` is `1.0`, and `1e400` is not infinity."""
    return json.loads(body, parse_float=Decimal, parse_int=Decimal)


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [False, True])
async def test_a_bad_key_is_one_answer_whatever_is_wrong_with_it(stage: Stage, *, typed: bool) -> None:
    """T11b: missing, malformed, unknown, expired, revoked: nobody learns which it was, and nothing goes upstream."""
    credentials: list[tuple[tuple[str, str], ...]] = [
        (),
        *[
            (("authorization", said),)
            for said in (
                "Bearer", "Bearer ", "Basic eDp5", KEY + "x", f"Bearer {KEY[:-1]}", f"Bearer {KEY} {KEY}",
                "Bearer sk-test-revoked", "Bearer sk-test-expired", "Bearer " + "x" * 5_000, "Bearer ' OR 1=1 --",
            )
        ],
        (("x-api-key", "nobody"),),
        (("authorization", "Bearer nobody"), ("x-api-key", KEY)),
    ]  # fmt: skip
    heard: list[Told] = []
    async with chats(stage.router.grpc_port, None) as caller:
        for metadata in credentials:
            heard.append(await caller.create(chat(), *metadata, ("x-request-id", "mine"), typed=typed))
            heard.append(await caller.stream(chat(), *metadata, ("x-request-id", "mine"), typed=typed))
        good = [await caller.create(chat(), pair) for pair in (("authorization", f"bearer {KEY}"), ("x-api-key", KEY))]

    assert ["OK", "OK"] == [told.code for told in good]
    assert {"UNAUTHENTICATED"} == {told.code for told in heard}
    assert 1 == len({(told.message, told.trailers["grpc-status-details-bin"]) for told in heard})
    assert 2 == len(stage.upstream.requests)


# --- money -----------------------------------------------------------------------------------------------------------


async def test_a_provider_that_ignores_its_maximum_is_cut_one_token_beyond_it(stage: Stage) -> None:
    """T1c: $0.05 pays for 1,000 tokens of input and 4,800 of output; what came has come, and then the true status."""
    one_by_one = dict.fromkeys(range(4_780, 6_000), Gap(0.005))
    stage.upstream.handler = lambda request: endless(request, one_by_one, counts=True)
    async with chats(stage.router.grpc_port, NICKEL) as caller:
        told = await caller.stream(request_of())
    await stage.router.idle()
    (row,) = stage.rows()
    words = [json.loads(body)["choices"][0]["delta"].get("content", "") for body in told.bodies]

    assert ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED") == (told.code, told.info["reason"])
    assert fake.text(4_801) == "".join(words)
    assert told.cost is None, "it has no summary"
    assert ("interrupted", "budget_exhausted", 4_801) == (row["outcome"], row["fault"], row["output_tokens"])
    assert worst_case(INPUT_BOUND, 4_801) == row["cost_nano_usd"]
