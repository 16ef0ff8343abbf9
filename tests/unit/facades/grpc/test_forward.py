"""The server of ASGI that a forwarded request meets: what it brings an application, and what it makes of the answer."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import grpc
import pytest
from checkrein.v1.passthrough_pb2 import ForwardRequest, ForwardResponse, Header

from router.domain.ids import format_call_id
from router.domain.settlement import Outcome
from router.facades.grpc.forward import passthrough_service
from router.facades.http.asgi import App, Message, Receive, Scope, Send
from router.facades.http.front import Front
from router.facades.http.limits import HttpLimits
from tests.support.fakes import SECOND
from tests.support.grpc_stage import KEY, GrpcStage
from tests.support.rpcs import Ended, FakeRpc, method_of
from tests.support.waiting import turns

FORWARD = "/checkrein.v1.PassthroughService/Forward"
LIMITS = HttpLimits(
    max_body=1_000,
    max_headers=500,
    read_timeout_ns=SECOND // 20,
    body_timeout_ns=SECOND // 10,
    write_timeout_ns=SECOND,
    stream_ping_ns=60 * SECOND,
)
HEAD = ForwardRequest(head=ForwardRequest.Head(method="POST", target="/v1/chat/completions"))
CHAT = ForwardRequest(body=b'{"model":"small","messages":[]}')
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"\xff")]}


class Heard:
    """An application that keeps what it is brought, and then says what it is given."""

    def __init__(self, *says: Message, reads: int = 9, raises: Exception | None = None) -> None:
        self.scope: Scope = {}
        self.came: list[Message] = []
        self._says = says
        self._reads = reads
        self._raises = raises

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        while len(self.came) < self._reads:
            self.came.append(await receive())
            if not self.came[-1].get("more_body"):
                break
        for message in self._says:
            await send(message)
        if self._raises is not None:
            raise self._raises


def ends(body: bytes = b"") -> Message:
    return {"type": "http.response.body", "body": body}


async def forwarded(
    rpc: FakeRpc,
    app: App,
    stage: GrpcStage | None = None,
    message_bytes_max: int = 100,
    limits: HttpLimits = LIMITS,
) -> Sequence[ForwardResponse]:
    on = stage or GrpcStage()
    services = passthrough_service(on.border, on.pipeline, app, limits, message_bytes_max=message_bytes_max)
    await method_of(services, FORWARD).stream_stream(None, rpc)
    return [ForwardResponse.FromString(raw) for raw in rpc.sent]


def front_of(stage: GrpcStage) -> Front:
    return Front(pipeline=stage.pipeline, rest=Heard(START, ends()), limits=LIMITS)


async def test_a_request_is_brought_and_its_reply_is_cut_into_messages() -> None:
    app = Heard(START, {"type": "http.response.body", "body": b"ab" * 30, "more_body": True}, ends(b"c"))
    rpc = FakeRpc(HEAD, ForwardRequest(body=b"x"), ForwardRequest(body=b"y"), x_request_id="mine")
    said = await forwarded(rpc, app)

    assert [b"x", b"y", b""] == [message["body"] for message in app.came]
    assert [True, True, False] == [message["more_body"] for message in app.came]
    assert (b"x-request-id", b"mine") in app.scope["headers"]
    assert ForwardResponse.Head(status=200, headers=[Header(name="x-a", value=b"\xff")]) == said[0].head
    assert [b"ab" * 18, b"ab" * 12, b"c"] == [one.body for one in said[1:]]
    assert ("mine", "mine") == (rpc.trailers["x-request-id"], rpc.began_with["x-request-id"])


async def test_a_peer_elsewhere_is_not_taken_for_one_on_this_machine() -> None:
    app = Heard(START, ends())
    await forwarded(FakeRpc(HEAD, peer="ipv4:10.0.0.1:5"), app)

    assert ("-", 0) == app.scope["client"]


async def test_an_application_may_answer_before_it_has_heard_all() -> None:
    said = await forwarded(FakeRpc(HEAD, CHAT, CHAT, goes_on=True), Heard(START, ends(b"no"), reads=1))

    assert [b"", b"no"] == [one.body for one in said]


async def test_after_the_body_nothing_comes() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        assert not (await receive())["more_body"]
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(receive())
            await turns(10)
            assert not waiting.done()
            waiting.cancel()
        await send(START)
        await send(ends())

    assert 1 == len(await forwarded(FakeRpc(HEAD), app))


@pytest.mark.parametrize(
    ("sends", "rejected"),
    [
        ([], "invalid_request"),
        ([b"\xff"], "invalid_request"),
        ([CHAT], "invalid_request"),
        ([ForwardRequest(head=ForwardRequest.Head(method="POST"))], "invalid_request"),
    ],
)
async def test_what_does_not_begin_as_it_should_reaches_no_application(
    sends: list[ForwardRequest | bytes], rejected: str
) -> None:
    stage, app = GrpcStage(), Heard()
    with pytest.raises(Ended) as ended:
        await forwarded(FakeRpc(*sends), app, stage)

    assert (grpc.StatusCode.INVALID_ARGUMENT, {}) == (ended.value.code, app.scope)
    assert [rejected] == stage.rig.telemetry.rejected


@pytest.mark.parametrize("wrong", [HEAD, ForwardRequest(), b"\xff"])
async def test_what_does_not_go_on_as_it_should_is_to_the_application_a_caller_that_left(
    wrong: ForwardRequest | bytes,
) -> None:
    stage = GrpcStage()
    with pytest.raises(Ended) as ended:
        await forwarded(FakeRpc(HEAD, CHAT, wrong, CHAT, key=KEY), front_of(stage), stage)

    assert grpc.StatusCode.INVALID_ARGUMENT is ended.value.code
    assert ["client_closed"] == stage.rig.telemetry.rejected
    assert not stage.rig.upstreams.requests


async def test_what_it_says_of_such_a_request_is_not_sent() -> None:
    rpc = FakeRpc(HEAD, HEAD)
    with pytest.raises(Ended):
        await forwarded(rpc, Heard(START, ends()))

    assert [] == rpc.sent


@pytest.mark.parametrize("said", [b"30", b"32", b"0"])
async def test_a_body_has_the_length_that_was_said(said: bytes) -> None:
    stage = GrpcStage()
    head = ForwardRequest.Head(method="POST", target="/v1/chat/completions")
    head.headers.append(Header(name="content-length", value=said))
    with pytest.raises(Ended) as ended:
        await forwarded(FakeRpc(ForwardRequest(head=head), CHAT, key=KEY), front_of(stage), stage)

    assert 31 == len(CHAT.body)
    assert grpc.StatusCode.INVALID_ARGUMENT is ended.value.code


@pytest.mark.parametrize("sends", [[HEAD], [HEAD, CHAT]])
async def test_a_request_that_does_not_come_in_time_is_told_so_as_over_http(sends: list[ForwardRequest]) -> None:
    stage = GrpcStage()
    rpc = FakeRpc(*sends, key=KEY, goes_on=True)
    said = await forwarded(rpc, front_of(stage), stage, message_bytes_max=10_000)

    assert (408, "request_timeout") == (said[0].head.status, json.loads(said[1].body)["error"]["code"])
    assert ["client_closed"] == stage.rig.telemetry.rejected


async def test_a_body_in_many_small_pieces_has_a_time_for_all_of_it() -> None:
    stage = GrpcStage()
    rpc = FakeRpc(HEAD, key=KEY)
    sends, nothing = rpc.read, ForwardRequest(body=b"").SerializeToString()

    async def drip() -> object:
        if rpc.sends:
            return await sends()
        await turns()
        return nothing

    rpc.read = drip  # type: ignore[method-assign]  # a caller that never ends
    said = await forwarded(rpc, front_of(stage), stage, limits=replace(LIMITS, read_timeout_ns=3_600 * SECOND))

    assert 408 == said[0].head.status


async def test_a_caller_that_says_nothing_is_not_waited_for() -> None:
    with pytest.raises(Ended) as ended:
        await forwarded(FakeRpc(goes_on=True), Heard())

    assert (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_TIMEOUT") == (ended.value.code, ended.value.info.reason)


async def test_headers_have_the_bound_that_they_have_over_http() -> None:
    app = Heard(START, ends())
    head = ForwardRequest.Head(method="POST", target="/v1/messages")
    head.headers.append(Header(name="a", value=b"b" * 500))
    said = await forwarded(FakeRpc(ForwardRequest(head=head)), app, message_bytes_max=10_000)

    assert (431, {}) == (said[0].head.status, app.scope)
    assert "headers_too_large" == json.loads(said[1].body)["error"]["code"]


async def test_a_caller_that_is_gone_is_told_from_one_that_has_sent_all() -> None:
    stage = GrpcStage()
    rpc = FakeRpc(HEAD, CHAT, key=KEY)
    rpc.gone = True
    with pytest.raises(Ended) as ended:
        await forwarded(rpc, front_of(stage), stage)

    assert grpc.StatusCode.CANCELLED is ended.value.code
    assert ["client_closed"] == stage.rig.telemetry.rejected
    assert not stage.rig.upstreams.requests


async def test_who_only_watches_for_the_callers_end_writes_nothing() -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(receive())
            await turns(5)
            assert not watching.result()["more_body"]  # type: ignore[index]  # a message
        await send(START)
        await send(ends())

    rpc = FakeRpc(HEAD)
    await forwarded(rpc, app)

    assert {} == rpc.began_with


async def test_a_cancelled_call_is_one_whose_caller_left() -> None:
    stage = GrpcStage()
    upstream = stage.rig.upstream()
    rpc = FakeRpc(HEAD, CHAT, key=KEY)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(_swallow(forwarded(rpc, front_of(stage), stage)))
        await turns(30)
        assert 1 == len(stage.pipeline.open_calls)
        serving.cancel()

    assert upstream.aborted
    assert ([Outcome.CLIENT_CANCELLED], []) == (
        [one.outcome for one in stage.rig.telemetry.settled],
        stage.rig.telemetry.rejected,
    )


async def _swallow(served: object) -> None:
    with pytest.raises(Ended):
        await served  # type: ignore[misc]  # a coroutine


async def test_a_reply_that_breaks_off_ends_in_its_own_fault() -> None:
    stage = GrpcStage()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        call = stage.rig.call()
        with pytest.raises(ZeroDivisionError), stage.pipeline.open(call):
            raise ZeroDivisionError
        await send({**START, "headers": [(b"x-checkrein-call", format_call_id(call.id).encode())]})

    with pytest.raises(Ended) as ended:
        await forwarded(FakeRpc(HEAD), app, stage)

    assert (grpc.StatusCode.INTERNAL, "INTERNAL") == (ended.value.code, ended.value.info.reason)


@pytest.mark.parametrize("reads", [0, 9])
async def test_a_reply_that_breaks_off_where_nobody_knows_why_was_interrupted(reads: int) -> None:
    stage = GrpcStage()
    rpc = FakeRpc(HEAD)
    part: Message = {"type": "http.response.body", "body": b"a", "more_body": True}
    with pytest.raises(Ended) as ended:
        await forwarded(rpc, Heard(START, part, reads=reads), stage)

    assert (2, "UPSTREAM_STREAM_INTERRUPTED") == (len(rpc.sent), ended.value.info.reason)
    assert [] == stage.rig.telemetry.rejected


async def test_an_application_that_fails_after_it_has_answered_has_answered(caplog: pytest.LogCaptureFixture) -> None:
    said = await forwarded(FakeRpc(HEAD, x_request_id="r7"), Heard(START, ends(), raises=ZeroDivisionError()))

    assert 1 == len(said)
    assert "internal error in r7" in caplog.text


async def test_an_application_that_fails_before_it_has_answered_is_told_as_a_bug() -> None:
    with pytest.raises(Ended) as ended:
        await forwarded(FakeRpc(HEAD), Heard(START, raises=ZeroDivisionError()))

    assert grpc.StatusCode.INTERNAL is ended.value.code
