"""A call as its owner sees it: nanoseconds become milliseconds, an open call says so."""

import msgspec

from router.domain.faults import Fault
from router.facades.http.schema import view_call
from tests.support.ledger_facts import attempt, open_record, settled_record


def test_a_settled_call_is_shown_whole() -> None:
    view = view_call(settled_record(7, fault="timeout", attempts=(attempt(1, fault=Fault.TIMEOUT), attempt(2))))

    assert view.id.startswith("call_")
    assert ("completed", "timeout", 900.0, 210.0) == (view.outcome, view.fault, view.duration_ms, view.first_token_ms)
    assert 1_800_000_000_000 == view.started_at_ms
    assert ("acme", "platform", "ada", "wf-7", "crawler") == (
        view.organization, view.team, view.user, view.workflow_id, view.agent
    )  # fmt: skip
    assert (2_006, 1_920, 16, 300, 40, True) == (
        view.input_tokens, view.cached_input_tokens, view.cache_write_tokens, view.output_tokens,
        view.reasoning_tokens, view.usage_estimated,
    )  # fmt: skip
    assert 3_556_000 == view.cost_nano_usd
    assert [("timeout", 529), (None, 200)] == [(one.fault, one.upstream_status) for one in view.attempts]
    assert [1, 2] == [one.number for one in view.attempts]
    assert 200.0 == view.attempts[0].first_token_ms


def test_an_open_call_says_that_it_is_open() -> None:
    view = view_call(open_record(7))

    assert ("open", None, None, None) == (view.outcome, view.fault, view.duration_ms, view.cost_nano_usd)
    assert [] == view.attempts


def test_a_decision_is_shown_as_the_object_it_is() -> None:
    view = view_call(
        msgspec.structs.replace(settled_record(7, attempts=()), decision='{"a":"s"}', substituted="s->t;tag")
    )

    assert ({"a": "s"}, "s->t;tag") == (view.decision, view.substituted)
    assert (None, None) == (view_call(open_record(7)).decision, view_call(open_record(7)).substituted)
