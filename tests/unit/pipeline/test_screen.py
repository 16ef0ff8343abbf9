"""What a call says about itself is honoured only where its key may say it."""

import contextlib
from dataclasses import replace

import pytest

from router.domain.faults import Fault, RouterError
from router.domain.governance.rate import RateLimit, Unit
from router.domain.principal import Bounds
from router.domain.settlement import Labels
from router.pipeline.call import Call
from router.pipeline.screen import count_for_user, screen
from tests.support.fakes import SECOND, principal, snapshot
from tests.support.pipeline import Rig

RPM = RateLimit(
    id="user/ann/rpm", scope_kind="user", scope_value="ann", unit=Unit.REQUESTS, limit=1, period_ns=60 * SECOND
)


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


def named(user: str | None, *, own: str | None = None, may: bool = True) -> Call:
    call = Rig().call(who=replace(principal("*"), may_set_attribution=may, user=own))
    call.labels, call.named_user = Labels(), user
    return call


@pytest.mark.parametrize(
    ("user", "own", "may", "fault"),
    [
        ("ann", None, True, None),
        ("ann", "ann", True, None),
        ("ann", "bob", True, Fault.PERMISSION_DENIED),
        ("ann", None, False, Fault.PERMISSION_DENIED),
        ("ann", "ann", False, Fault.PERMISSION_DENIED),
        (None, "bob", False, None),
    ],
)
def test_a_key_without_a_user_may_name_one_if_it_has_the_grant(
    user: str, own: str | None, may: bool, fault: Fault | None
) -> None:
    stopped = screen(named(user, own=own, may=may))

    assert fault == (None if stopped is None else stopped.fault)


@pytest.mark.parametrize(("user", "own"), [("ann", "ann"), ("stranger", None)])
def test_a_user_without_bounds_and_a_keys_own_change_nothing_but_the_name(user: str, own: str | None) -> None:
    call = named(user, own=own)
    call.snapshot = replace(call.snapshot, users={"ann": Bounds(rate_limits=(RPM,))})
    before = call.principal
    count_for_user(call, user)

    assert replace(before, user=user) == call.principal


async def test_a_call_counts_for_the_user_whom_it_names() -> None:
    rig = Rig(replace(snapshot(), users={"ann": Bounds(rate_limits=(RPM,))}))
    for user in ("ann", "bob", None, "ann"):
        rig.upstream().chunk("a")
        call = rig.call()
        call.named_user = user
        with contextlib.suppress(RouterError), rig.pipeline.open(call) as reply:
            await reply.read()

    told = [(settled.user, settled.fault is Fault.RATE_LIMITED) for settled in rig.telemetry.settled]
    assert [("ann", False), ("bob", False), (None, False), ("ann", True)] == told
    assert {"limit": "user/ann/rpm", "scope": "user"}.items() <= ((call.refusal and call.refusal.details) or {}).items()
