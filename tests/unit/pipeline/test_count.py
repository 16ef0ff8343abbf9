"""Who counts the tokens of a message: its provider, or nobody and then an estimate."""

from dataclasses import replace

import msgspec
import pytest

from router.domain.catalog import Deployment, Model, Snapshot
from router.domain.dialects.dialect import MESSAGES, Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import Fault, RouterError
from router.domain.governance.rate import RateLimit, Unit
from router.domain.ids import DeploymentId, ModelName
from router.pipeline.count import COUNT_NS_MAX, count_tokens, read_counted
from tests.support.asides import FedAsides
from tests.support.fakes import SECOND, deployment, principal, snapshot
from tests.support.pipeline import Rig

BODY = '{"model":"small","messages":[{"role":"user","content":"hello there"}]}'
SPEAKS = replace(deployment(), credential="second", dialects=frozenset({Dialect.MESSAGES}))
CHAT = replace(deployment(), id=DeploymentId("chat"))


def routed(*deployments: Deployment) -> Snapshot:
    small = Model(name=ModelName("small"), deployments=deployments)
    return replace(snapshot(), models={small.name: small})


async def counted(asides: FedAsides, *deployments: Deployment, body: str = BODY) -> tuple[dict[str, int], bool]:
    rig = Rig(routed(*deployments))
    call = rig.call(body, grammar=MESSAGES)
    found = await count_tokens(call, pipeline=rig.pipeline, asides=asides)
    assert [] == rig.telemetry.settled
    assert [] == rig.upstreams.requests
    return msgspec.json.decode(found.body), found.by is None


async def test_whoever_speaks_messages_is_asked_in_the_models_own_name() -> None:
    asides = FedAsides()
    asides.answer = b'{"input_tokens":7}'

    assert ({"input_tokens": 7}, False) == await counted(asides, CHAT, SPEAKS)
    (asked,) = asides.asked
    assert ("second", Dialect.MESSAGES, ("count_tokens",), COUNT_NS_MAX) == (
        asked.credential,
        asked.dialect,
        asked.below,
        asked.total_ns,
    )
    assert {"model": "model", "messages": [{"role": "user", "content": "hello there"}]} == msgspec.json.decode(
        asked.body
    )
    assert ((b"x-request-id", b"r1"),) == asked.headers


async def test_where_nobody_speaks_it_nobody_is_asked() -> None:
    asides = FedAsides()

    assert ({"input_tokens": 11}, True) == await counted(asides, CHAT)
    assert [] == asides.asked


@pytest.mark.parametrize(
    "failure",
    [
        Failure(kind=FailureKind.STATUS, message="m", status=404),
        Failure(kind=FailureKind.STATUS, message="m", status=405),
        Failure(kind=FailureKind.STATUS, message="m", status=429),
        Failure(kind=FailureKind.TOTAL_TIMEOUT, message="m"),
        Failure(kind=FailureKind.CONNECT, message="m"),
        None,
    ],
)
async def test_a_provider_that_cannot_say_leaves_an_estimate(failure: Failure | None) -> None:
    asides = FedAsides()
    asides.absent = failure is None
    asides.answer = failure or b""

    assert ({"input_tokens": 11}, True) == await counted(asides, SPEAKS)


async def test_a_provider_that_will_not_have_the_request_is_heard() -> None:
    asides = FedAsides()
    asides.answer = Failure(kind=FailureKind.STATUS, message="No such role.", status=400)
    with pytest.raises(RouterError, match="No such role"):
        await counted(asides, SPEAKS)


@pytest.mark.parametrize(
    ("who", "body", "fault"),
    [
        (principal("other"), BODY, Fault.MODEL_NOT_ALLOWED),
        (principal("*"), BODY.replace("small", "none"), Fault.MODEL_NOT_FOUND),
        (replace(principal("*"), may_set_attribution=False), BODY, Fault.PERMISSION_DENIED),
    ],
)
async def test_what_a_call_would_be_refused_for_it_is_refused_here(who: object, body: str, fault: Fault) -> None:
    rig = Rig(routed(SPEAKS))
    call = rig.call(body, who=who, grammar=MESSAGES)  # type: ignore[arg-type]  # a principal
    with pytest.raises(RouterError) as refused:
        await count_tokens(call, pipeline=rig.pipeline, asides=FedAsides())

    assert fault == refused.value.refusal.fault


async def test_it_is_one_request_of_the_keys_limits() -> None:
    rate = RateLimit(
        id="key/requests", scope_kind="key", scope_value="ci", unit=Unit.REQUESTS, limit=1, period_ns=60 * SECOND
    )
    rig, asides = Rig(routed(SPEAKS)), FedAsides()
    calls = [rig.call(BODY, who=replace(principal("*"), rate_limits=(rate,)), grammar=MESSAGES) for _ in range(2)]
    await count_tokens(calls[0], pipeline=rig.pipeline, asides=asides)
    with pytest.raises(RouterError) as refused:
        await count_tokens(calls[1], pipeline=rig.pipeline, asides=asides)

    assert (Fault.RATE_LIMITED, 1) == (refused.value.refusal.fault, len(asides.asked))


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"model":"small"}', BODY[:-1].encode() + b',"stream":true}'])
def test_what_cannot_be_counted_is_refused(body: bytes) -> None:
    with pytest.raises(RouterError) as caught:
        read_counted(body)

    assert Fault.INVALID_REQUEST is caught.value.refusal.fault


def test_what_is_counted_is_read_as_messages() -> None:
    assert MESSAGES is read_counted(BODY.encode()).grammar
