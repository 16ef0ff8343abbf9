"""A call of the ledger is in messages with every column, and what it has not is absent."""

from checkrein.v1.calls_pb2 import Attempt, Call
from checkrein.v1.common_pb2 import Cost, Usage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.faults import Fault
from router.facades.grpc.recorded import call_of, reason_of
from tests.support.ledger_facts import STARTED_NS, USAGE, attempt, open_record, settled_record


def test_a_settled_call_has_every_column() -> None:
    start_s = STARTED_NS // 10**9
    expected = Call(
        id="call_0000000000000008",
        request_id="req-8",
        key_id="ci",
        organization="acme",
        team="platform",
        user="ada",
        workflow_id="wf-7",
        parent_call_id="call_00ff",
        agent="crawler",
        tags=["eu", "nightly"],
        route="chat",
        stream=True,
        asked_model="small",
        served_deployment="local:mock",
        served_model="mock-2",
        start_time=Timestamp(seconds=start_s, nanos=8),
        duration=Duration(nanos=900_000_000),
        first_token=Duration(nanos=210_000_000),
        outcome="completed",
        reason="TIMEOUT",
        usage=Usage(
            input_tokens=2_006,
            cached_input_tokens=1_920,
            cache_write_tokens=16,
            output_tokens=300,
            reasoning_tokens=40,
            estimated=True,
            clamped=USAGE.clamped,
        ),
        cost=Cost(total_nano_usd=3_556_000, price_version="config-1"),
        attempts=[
            Attempt(
                number=1,
                deployment="local:mock",
                provider="local",
                upstream_model="mock",
                start_time=Timestamp(seconds=start_s, nanos=1),
                duration=Duration(nanos=800_000_001),
                first_token=Duration(nanos=200_000_000),
                reason="UPSTREAM_ERROR",
                upstream_status=529,
                usage=Usage(
                    input_tokens=USAGE.input,
                    cached_input_tokens=USAGE.cached_input,
                    cache_write_tokens=USAGE.cache_write,
                    output_tokens=USAGE.output,
                    reasoning_tokens=USAGE.reasoning,
                    estimated=USAGE.estimated,
                    clamped=USAGE.clamped,
                ),
                cost=Cost(price_version="config-1"),
            )
        ],
    )
    tried = attempt(1, cost=None, fault=Fault.UPSTREAM_ERROR)

    assert expected == call_of(settled_record(8, fault="timeout", attempts=(tried,)))


def test_of_an_open_call_only_what_is_known_is_there() -> None:
    expected = Call(
        id="call_0000000000000009",
        request_id="req-9",
        key_id="ci",
        workflow_id="wf-7",
        parent_call_id="call_00ff",
        agent="crawler",
        tags=["eu", "nightly"],
        asked_model="small",
        start_time=Timestamp(seconds=STARTED_NS // 10**9, nanos=9),
        outcome="open",
        usage=Usage(),
        cost=Cost(),
    )

    assert expected == call_of(open_record(9))


def test_a_reason_is_written_as_errors_write_it() -> None:
    assert ("UPSTREAM_QUOTA", None) == (reason_of("upstream_quota"), reason_of(None))
