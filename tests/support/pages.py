"""Pages of a ledger that is a list; it finds whatever it has, and remembers what it was asked for."""

from collections.abc import Sequence

from router.domain.ids import CallId
from router.ports.ledger import CallRecord
from router.ports.ledger_pages import AttemptPlace, AttemptRecord, CallFilter
from tests.support.ledger_facts import STARTED_NS


class ListedPages:
    def __init__(self, *, calls: Sequence[CallRecord] = (), attempts: Sequence[AttemptRecord] = ()) -> None:
        """Both newest call first."""
        self._calls = calls
        self._attempts = attempts
        self.sought: list[CallFilter] = []

    async def read_calls(self, sought: CallFilter, before: CallId, limit: int) -> Sequence[CallRecord]:
        self.sought.append(sought)
        return [call for call in self._calls if call.id < before][:limit]

    async def read_attempts(self, sought: CallFilter, after: AttemptPlace, limit: int) -> Sequence[AttemptRecord]:
        self.sought.append(sought)
        call_id, number = after
        return [one for one in self._attempts if (-one.call_id, one.number) > (-call_id, number)][:limit]


def attempt_record(call: int, number: int) -> AttemptRecord:
    return AttemptRecord(
        call_id=CallId(call),
        request_id=f"req-{call}",
        key_id="ci",
        number=number,
        deployment="local:mock",
        provider="local",
        upstream_model="mock",
        started_ns=STARTED_NS + number,
        duration_ns=800_000_000,
        first_token_ns=None,
        fault="timeout",
        upstream_status=None,
        input_tokens=2_006,
        cached_input_tokens=1_920,
        cache_write_tokens=16,
        output_tokens=300,
        reasoning_tokens=40,
        usage_estimated=True,
        usage_clamped=False,
        cost_nano_usd=3_556_000,
        price_version="config-1",
    )
