"""What a call builds on is found for its own key, in memory and in the ledger; other keys see nothing of it."""

import pytest

from router.domain.dialects.dialect import RESPONSES
from router.domain.faults import Fault, RouterError
from router.domain.ids import DeploymentId, KeyId, ProviderId
from router.domain.planning.stored import STORED_TTL_NS, Basis, unknown
from router.domain.settlement import StoredRecord, StoredReply
from router.pipeline.call import Call
from router.pipeline.recall import Recall
from router.ports.ledger import CallRecord, LedgerUnavailable
from tests.support.fakes import FakeClock
from tests.support.ledger_facts import settlement
from tests.support.pipeline import Rig

REPLY = StoredReply("resp_1", DeploymentId("up/model"), ProviderId("up"), "")


class History:
    """A ledger of which only the stored replies are read."""

    def __init__(self) -> None:
        self.records: dict[str, StoredRecord] = {}
        self.reads = 0
        self.broken = False

    async def read_call(self, call_id: int) -> CallRecord | None:
        raise NotImplementedError

    async def read_stored(self, reply_id: str) -> StoredRecord | None:
        self.reads += 1
        if self.broken:
            raise LedgerUnavailable("broken by the test")
        return self.records.get(reply_id)


@pytest.fixture
def history() -> History:
    return History()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recall(history: History, clock: FakeClock) -> Recall:
    return Recall(clock=clock, history=history)


def call(reply_id: str = "resp_1") -> Call:
    body = f'{{"model":"small","input":"hi","previous_response_id":"{reply_id}"}}'
    return Rig().call(body, grammar=RESPONSES)


def on_record(history: History, clock: FakeClock, *, key: str = "ci") -> None:
    history.records["resp_1"] = StoredRecord(key_id=key, started_ns=clock.wall, reply=REPLY)


async def test_what_this_process_has_settled_is_known_without_asking(recall: Recall, history: History) -> None:
    recall.remember(settlement(7), REPLY)

    assert REPLY == await recall.find("resp_1", KeyId("ci"))
    assert Basis("previous_response_id", REPLY) == await recall.basis_of(call())
    assert 0 == history.reads


async def test_what_an_earlier_process_has_settled_is_read_once(
    recall: Recall, history: History, clock: FakeClock
) -> None:
    on_record(history, clock)

    assert [REPLY, REPLY] == [await recall.find("resp_1", KeyId("ci")) for _ in range(2)]
    assert 1 == history.reads


async def test_another_keys_reply_looks_like_none(recall: Recall, history: History, clock: FakeClock) -> None:
    on_record(history, clock, key="other")
    with pytest.raises(RouterError) as refused:
        await recall.basis_of(call())

    assert unknown("previous_response_id") == refused.value.refusal
    assert await recall.find("resp_1", KeyId("ci")) is None


async def test_an_id_that_is_nobodys_is_left_to_the_plan(recall: Recall) -> None:
    assert Basis("previous_response_id", None) == await recall.basis_of(call("resp_2"))


async def test_a_call_that_says_all_itself_reads_nothing(recall: Recall, history: History) -> None:
    whole = Rig().call('{"model":"small","input":"hi"}', grammar=RESPONSES)

    assert await recall.basis_of(whole) is None
    assert 0 == history.reads


async def test_after_thirty_days_nobody_has_it(recall: Recall, history: History, clock: FakeClock) -> None:
    on_record(history, clock)
    assert REPLY == await recall.find("resp_1", KeyId("ci"))
    clock.pass_ns(STORED_TTL_NS)

    assert await recall.find("resp_1", KeyId("ci")) is None


async def test_a_store_that_is_out_of_reach_is_no_404(recall: Recall, history: History) -> None:
    history.broken = True
    with pytest.raises(RouterError) as refused:
        await recall.basis_of(call())

    assert (Fault.OVERLOADED, 1_000) == (refused.value.refusal.fault, refused.value.refusal.retry_after_ms)


async def test_work_in_the_background_goes_no_further(recall: Recall) -> None:
    asked = Rig().call('{"model":"small","input":"hi","background":true}', grammar=RESPONSES)
    with pytest.raises(RouterError, match="background"):
        await recall.basis_of(asked)


async def test_a_conversation_has_no_record_and_is_not_looked_up(recall: Recall, history: History) -> None:
    history.broken = True
    asked = Rig().call('{"model":"small","input":"hi","conversation":"conv_1"}', grammar=RESPONSES)

    assert Basis("conversation", None) == await recall.basis_of(asked)
    assert 0 == history.reads
