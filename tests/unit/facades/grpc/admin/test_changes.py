"""A change says who and what, and what there was not is absent."""

import msgspec
from checkrein.admin.v1.keys_pb2 import Change
from google.protobuf.timestamp_pb2 import Timestamp

from router.facades.grpc.admin.changes import change_of
from router.ports.keys import AuditRow
from tests.support.keys import NOW_NS, change


def test_a_change_is_told_with_both_sides() -> None:
    made = change()
    row = AuditRow(subject="ci", revision=4, change=made)
    deleted = msgspec.structs.replace(row, change=msgspec.structs.replace(made, before="{}", after=None))
    moment = Timestamp(seconds=NOW_NS // 10**9)

    assert Change(time=moment, actor="boss", action="create", revision=4, after_json="{}") == change_of(row)
    assert Change(time=moment, actor="boss", action="create", revision=4, before_json="{}") == change_of(deleted)
