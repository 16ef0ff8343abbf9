"""What a provider stores is asked of it for its key alone, within the key's limits, and leaves no trace of money."""

from dataclasses import replace

import msgspec
import pytest

from router.domain.dialects.dialect import Dialect
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.faults import Fault, Refusal, RouterError
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.governance.rate import RateLimit, Unit
from router.domain.ids import DeploymentId, KeyId, ProviderId
from router.domain.principal import Mode, Principal
from router.domain.settlement import StoredReply
from router.pipeline.aside import ASIDE_NS_MAX, StoredDesk, admitted
from router.ports.aside import AsideRequest, Method
from tests.support.asides import FedAsides
from tests.support.fakes import SECOND, principal
from tests.support.ledger_facts import settlement
from tests.support.pipeline import Rig

REPLY = StoredReply("resp_1", DeploymentId("up/model"), ProviderId("up"), "")
RATE = RateLimit(
    id="key/requests", scope_kind="key", scope_value="ci", unit=Unit.REQUESTS, limit=1, period_ns=60 * SECOND
)
PLACES = ConcurrencyLimit(id="key/places", scope_kind="key", scope_value="ci", limit=1)


class Stage:
    def __init__(self) -> None:
        self.rig = Rig()
        self.asides = FedAsides()
        self.desk = StoredDesk(pipeline=self.rig.pipeline, asides=self.asides)
        self.stored(REPLY)

    def stored(self, reply: StoredReply) -> None:
        made = msgspec.structs.replace(settlement(1), started_ns=self.rig.clock.wall)
        self.rig.pipeline.recall.remember(made, reply)

    async def ask(self, who: Principal | None = None, reply_id: str = "resp_1") -> bytes:
        return await self.desk.ask(who or principal("*"), reply_id, "cancel", method=Method.POST, query=(("a", "b"),))

    async def refusal(self, who: Principal | None = None, reply_id: str = "resp_1") -> Refusal:
        with pytest.raises(RouterError) as refused:
            await self.ask(who, reply_id)
        return refused.value.refusal


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_the_holder_is_asked_with_its_credential(stage: Stage) -> None:
    stage.asides.answer = b'{"id": "resp_1"}'

    assert b'{"id": "resp_1"}' == await stage.ask()
    assert [
        AsideRequest(
            credential="",
            dialect=Dialect.RESPONSES,
            below=("resp_1", "cancel"),
            query=(("a", "b"),),
            total_ns=ASIDE_NS_MAX,
        )
    ] == stage.asides.asked


async def test_another_keys_reply_and_nobodys_look_alike(stage: Stage) -> None:
    other = replace(principal("*"), key_id=KeyId("other"))
    foreign, nobody_s = await stage.refusal(other), await stage.refusal(reply_id="resp_2")

    assert foreign == nobody_s
    assert (Fault.NOT_FOUND, []) == (foreign.fault, stage.asides.asked)


@pytest.mark.parametrize("gone", ["provider", "credential", "kind"])
async def test_a_holder_that_is_gone_is_not_replaced(stage: Stage, gone: str) -> None:
    if gone == "provider":
        stage.stored(REPLY._replace(provider=ProviderId("old")))
    elif gone == "credential":
        stage.stored(REPLY._replace(credential="old"))
    else:
        stage.asides.absent = True
    refusal = await stage.refusal()

    assert (Fault.NOT_FOUND, []) == (refusal.fault, stage.asides.asked)
    assert "not configured" in refusal.message


async def test_a_failure_of_the_holder_is_the_callers_to_see(stage: Stage) -> None:
    stage.asides.answer = Failure(kind=FailureKind.STATUS, message="It was deleted.", status=404, code="gone")
    refusal = await stage.refusal()

    assert (404, "It was deleted.", "gone") == (refusal.status, refusal.message, refusal.code)


@pytest.mark.parametrize("answer", [b"{}", Failure(kind=FailureKind.RESET, message="m")])
async def test_each_question_is_a_request_and_takes_a_place_while_it_lasts(
    stage: Stage, answer: bytes | Failure
) -> None:
    who = replace(principal("*"), rate_limits=(RATE,), concurrency_limits=(PLACES,))
    stage.asides.answer = answer
    if isinstance(answer, bytes):
        await stage.ask(who)
    else:
        await stage.refusal(who)

    assert {} == stage.rig.pipeline.gate.permits.gauges()
    assert Fault.RATE_LIMITED == (await stage.refusal(who)).fault
    assert {} == stage.rig.pipeline.gate.permits.gauges()
    assert [] == stage.rig.telemetry.settled
    stage.rig.clock.pass_ns(60 * SECOND)
    with admitted(stage.rig.pipeline.gate, stage.rig.clock, who):
        stage.rig.clock.pass_ns(60 * SECOND)
        assert Fault.RATE_LIMITED == (await stage.refusal(who)).fault
    assert 1 == len(stage.asides.asked)


async def test_an_observed_key_is_refused_nothing(stage: Stage) -> None:
    who = replace(principal("*"), rate_limits=(RATE,), concurrency_limits=(PLACES,), mode=Mode.OBSERVE)
    with admitted(stage.rig.pipeline.gate, stage.rig.clock, who):
        assert [b"{}"] * 2 == [await stage.ask(who) for _ in range(2)]

    assert {} == stage.rig.pipeline.gate.permits.gauges()


async def test_limits_that_are_only_observed_refuse_nothing(stage: Stage) -> None:
    rate, places = replace(RATE, observe=True), replace(PLACES, observe=True)
    who = replace(principal("*"), rate_limits=(rate,), concurrency_limits=(places,))
    with admitted(stage.rig.pipeline.gate, stage.rig.clock, who):
        assert [b"{}"] * 2 == [await stage.ask(who) for _ in range(2)]

    assert {} == stage.rig.pipeline.gate.permits.gauges()
