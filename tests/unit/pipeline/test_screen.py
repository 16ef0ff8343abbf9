"""What a call says about itself is honoured only where its key may say it."""

from dataclasses import replace

import pytest

from router.domain.faults import Fault
from router.domain.settlement import Labels
from router.pipeline.screen import screen
from tests.support.fakes import principal
from tests.support.pipeline import Rig


@pytest.mark.parametrize(
    ("labels", "may", "fault"),
    [
        (Labels(agent="a"), True, None),
        (Labels(agent="a"), False, Fault.PERMISSION_DENIED),
        (Labels(tags="t"), False, Fault.PERMISSION_DENIED),
        (Labels(workflow_id="w", parent_call_id="p"), False, None),
        (Labels(), False, None),
    ],
)
def test_only_a_key_with_the_grant_may_say_for_whom_it_calls(labels: Labels, may: bool, fault: Fault | None) -> None:
    call = Rig().call(who=replace(principal("*"), may_set_attribution=may))
    call.labels = labels
    stopped = screen(call)

    assert fault == (None if stopped is None else stopped.fault)
