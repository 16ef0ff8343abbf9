"""What is sent to an upstream, and what is kept of its refusal."""

import json
from dataclasses import replace

import pytest

from router.domain.dialects.authors import Authors
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import ProviderId
from router.domain.instants import NS_PER_MS
from router.domain.planning.directives import Directives
from router.domain.planning.plan import RoutePlan
from router.domain.stream import ReplyMode
from router.pipeline.attempt import Attempt
from router.pipeline.dispatch import dispatch
from router.ports.upstream import UpstreamFailed
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import snapshot
from tests.support.pipeline import Rig

MODEL = next(iter(snapshot().models.values()))


def attempt() -> Attempt:
    return begun_attempt()


async def test_the_upstream_gets_its_own_model_name_and_the_request_id() -> None:
    rig = Rig()
    rig.upstream()
    made = attempt()
    call = rig.call()
    flight = await dispatch(call, made, call.request, rig.upstreams)
    (request,) = rig.upstreams.requests

    assert flight is made.flight
    assert "model" == json.loads(request.body)["model"]
    assert (ReplyMode.STREAM, ((b"x-request-id", b"r1"),)) == (request.mode, request.headers)


async def test_a_trace_is_passed_on() -> None:
    rig = Rig()
    rig.upstream()
    call = rig.call()
    call.traceparent = "00-1-2-01"
    await dispatch(call, attempt(), call.request, rig.upstreams)

    assert (b"traceparent", b"00-1-2-01") in rig.upstreams.requests[0].headers


@pytest.mark.parametrize("drops", [False, True])
async def test_that_members_may_be_dropped_is_passed_on_to_who_finds_out(drops: bool) -> None:
    rig = Rig()
    rig.upstream()
    call = rig.call()
    call.plan = RoutePlan(asked=MODEL, model=MODEL, candidates=(), directives=Directives(drop_params=drops))
    await dispatch(call, attempt(), call.request, rig.upstreams)

    assert drops is rig.upstreams.requests[0].drop_params


@pytest.mark.parametrize(("number", "left_ms"), [(1, 1_000), (2, 700)])
async def test_the_caller_s_time_is_for_all_attempts_together(number: int, left_ms: int) -> None:
    rig = Rig()
    rig.upstream()
    call = rig.call()
    call.timeout_ns = 1_000 * NS_PER_MS
    made = begun_attempt(number, begun=call.arrived + 300 * NS_PER_MS + 1)
    await dispatch(call, made, call.request, rig.upstreams)

    assert left_ms * NS_PER_MS == rig.upstreams.requests[0].total_ns


async def test_who_cannot_be_reached_has_no_flight() -> None:
    rig = Rig()
    rig.upstreams.replies.append(Failure(kind=FailureKind.CONNECT, message="no"))
    made, call = begun_attempt(), rig.call()
    with pytest.raises(UpstreamFailed):
        await dispatch(call, made, call.request, rig.upstreams)

    assert made.flight is None


@pytest.mark.parametrize(("providers", "learned"), [(1, False), (2, True)])
async def test_who_signs_is_learned_where_there_is_another_provider(providers: int, learned: bool) -> None:
    rig = Rig()
    rig.upstream()
    call = rig.call()
    (one,) = call.snapshot.providers.values()
    names = {ProviderId(f"{number}"): one for number in range(providers)}
    call.snapshot = replace(call.snapshot, providers=names)
    flight = await dispatch(call, attempt(), call.request, rig.upstreams, Authors())

    assert learned == (flight.meter.learn is not None)
