"""A call over gRPC is the ledger's row of it, member by member, for whoever may see it."""

import grpc
import pytest
from checkrein.v1.calls_pb2 import Attempt, Call, GetCallRequest, GetCallResponse
from checkrein.v1.common_pb2 import Cost, Usage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.faults import Fault
from router.domain.ids import CallId, DeploymentId, ProviderId, format_call_id
from router.domain.money import NanoUsd
from router.domain.settlement import AttemptRow, Outcome
from router.domain.usage import TokenUsage
from router.facades.grpc.calls import calls_service
from router.ports.ledger import CallRecord
from tests.support.grpc_stage import ADMIN, KEY, NARROW, GrpcStage
from tests.support.rpcs import Ended, FakeRpc, ask

GET = "/checkrein.v1.CallsService/GetCall"
ID = CallId(77)
NAME = format_call_id(ID)
OPEN = CallRecord(id=ID, request_id="r1", key_id="ci", asked_model="small", started_ns=1_700_000_000_000_000_007)
WHOLE = CallRecord(
    id=ID,
    request_id="r1",
    key_id="ci",
    organization="o",
    team="t",
    user="u",
    workflow_id="w",
    parent_call_id="p",
    agent="a",
    tags="b, a,b",
    route="chat",
    stream=False,
    asked_model="small",
    served_deployment="up/model",
    served_model="m",
    started_ns=1_700_000_000_000_000_007,
    duration_ns=2_000_000_003,
    first_token_ns=5,
    outcome=Outcome.INTERRUPTED,
    fault="upstream_error",
    input_tokens=5,
    cached_input_tokens=4,
    cache_write_tokens=3,
    output_tokens=2,
    reasoning_tokens=1,
    usage_estimated=True,
    cost_nano_usd=0,
    price_version="v1",
    priority="batch",
    decision='{"a":1}',
    substituted="a->b;c",
    attempts=(
        AttemptRow(
            number=1,
            deployment=DeploymentId("up/model"),
            provider=ProviderId("up"),
            upstream_model="model",
            started_ns=1_700_000_000_000_000_008,
            duration_ns=9,
            first_token_ns=4,
            fault=Fault.UPSTREAM_ERROR,
            upstream_status=500,
            usage=TokenUsage(input=5, cached_input=4, cache_write=3, output=2, reasoning=1, clamped=True),
            cost_nano_usd=NanoUsd(7),
            price_version="v2",
        ),
    ),
)
STARTED = Timestamp(seconds=1_700_000_000, nanos=7)


async def told(record: CallRecord, key: str = KEY, name: str = NAME) -> Call:
    stage = GrpcStage()

    async def read_call(call_id: CallId) -> CallRecord | None:
        return record if call_id == ID else None

    stage.pipeline.ledger.read_call = read_call  # type: ignore[method-assign]  # a ledger with this one row
    services = calls_service(stage.border, stage.pipeline)
    return (await ask(services, GET, FakeRpc(GetCallRequest(id=name), key=key), GetCallResponse)).call


async def test_all_that_the_ledger_holds_is_told() -> None:
    usage = {"input_tokens": 5, "cached_input_tokens": 4, "cache_write_tokens": 3, "output_tokens": 2}

    assert await told(WHOLE) == Call(
        id=NAME,
        request_id="r1",
        key_id="ci",
        organization="o",
        team="t",
        user="u",
        workflow_id="w",
        parent_call_id="p",
        agent="a",
        tags=["a", "b"],
        route="chat",
        stream=False,
        asked_model="small",
        served_deployment="up/model",
        served_model="m",
        start_time=STARTED,
        duration=Duration(seconds=2, nanos=3),
        first_token=Duration(nanos=5),
        outcome="interrupted",
        reason="UPSTREAM_ERROR",
        usage=Usage(**usage, reasoning_tokens=1, estimated=True, clamped=True),
        cost=Cost(total_nano_usd=0, price_version="v1"),
        priority="batch",
        substituted="a->b;c",
        decision_json='{"a":1}',
        attempts=[
            Attempt(
                number=1,
                deployment="up/model",
                provider="up",
                upstream_model="model",
                start_time=Timestamp(seconds=1_700_000_000, nanos=8),
                duration=Duration(nanos=9),
                first_token=Duration(nanos=4),
                reason="UPSTREAM_ERROR",
                upstream_status=500,
                usage=Usage(**usage, reasoning_tokens=1, clamped=True),
                cost=Cost(total_nano_usd=7, price_version="v2"),
            )
        ],
    )


async def test_every_member_of_the_message_is_told_of_some_call() -> None:
    call = await told(WHOLE)

    assert {field.name for field in Call.DESCRIPTOR.fields} == {field.name for field, _ in call.ListFields()} | {
        "stream"
    }
    assert {field.name for field in Attempt.DESCRIPTOR.fields} == {one.name for one, _ in call.attempts[0].ListFields()}


async def test_an_open_call_has_zeros_and_nothing_that_is_not_known() -> None:
    call = Call(
        id=NAME,
        request_id="r1",
        key_id="ci",
        asked_model="small",
        start_time=STARTED,
        outcome="open",
        usage=Usage(),
        cost=Cost(),
    )

    assert call == await told(OPEN)
    assert not (await told(OPEN)).HasField("stream")


@pytest.mark.parametrize(
    ("key", "name", "code"),
    [
        (NARROW, NAME, grpc.StatusCode.NOT_FOUND),
        (KEY, "call_1", grpc.StatusCode.NOT_FOUND),
        (KEY, "", grpc.StatusCode.INVALID_ARGUMENT),
        ("sk-nobody", NAME, grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_a_call_of_others_is_not_there(key: str, name: str, code: grpc.StatusCode) -> None:
    assert NAME == (await told(WHOLE, ADMIN)).id
    with pytest.raises(Ended) as ended:
        await told(WHOLE, key, name)

    assert code is ended.value.code
