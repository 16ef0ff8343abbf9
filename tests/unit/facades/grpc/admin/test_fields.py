"""Fields that must be said are, absent ones stay so, and refusals name fields as their message does."""

import pytest
from checkrein.admin.v1.audit_pb2 import ListAuditEventsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.faults import Fault, RouterError, refuse
from router.facades.grpc.admin.fields import fields, json_of, page_of, said, span_of


def test_of_a_page_only_what_was_said_is_there() -> None:
    assert {} == page_of(ListAuditEventsRequest())
    assert {"after": "", "limit": 0} == page_of(ListAuditEventsRequest(after="", limit=0))
    assert {"after": "x", "limit": -7} == page_of(ListAuditEventsRequest(after="x", limit=-7))


def test_the_ends_of_a_span_are_nanoseconds() -> None:
    assert {"since": None, "until": None} == span_of(ListAuditEventsRequest())
    asked = ListAuditEventsRequest(since=Timestamp(), until=Timestamp(seconds=1, nanos=2))
    assert {"since": 0, "until": 1_000_000_002} == span_of(asked)


def test_what_must_be_said_is() -> None:
    assert ("x", "é".encode()) == (said("x", "name"), json_of("é", "settings_json"))
    for refuses, field in ((said, "name"), (json_of, "settings_json")):
        with pytest.raises(RouterError) as refused:
            refuses("", field)
        assert (Fault.INVALID_REQUEST, field) == (refused.value.refusal.fault, refused.value.refusal.param)


@pytest.mark.parametrize(
    ("fault", "param", "named"),
    [
        (Fault.INVALID_REQUEST, None, "settings_json"),
        (Fault.REQUEST_TOO_LARGE, None, "settings_json"),
        (Fault.INVALID_REQUEST, "kind", "scope_kind"),
        (Fault.INVALID_REQUEST, "limits.rpm", "limits.rpm"),
        (Fault.CONFLICT, None, None),
        (Fault.CONFLICT, "kind", "kind"),
        (Fault.NOT_FOUND, None, None),
    ],
)
def test_a_refusal_of_a_request_names_the_field_of_its_message(
    fault: Fault, param: str | None, named: str | None
) -> None:
    with pytest.raises(RouterError) as refused, fields({None: "settings_json", "kind": "scope_kind"}):
        raise refuse(fault, "Said.", param=param)

    assert (fault, "Said.", named) == (
        refused.value.refusal.fault,
        refused.value.refusal.message,
        refused.value.refusal.param,
    )


def test_what_is_no_refusal_passes() -> None:
    with pytest.raises(KeyError), fields({None: "settings_json"}):
        raise KeyError
