"""Write one change as `keys.proto` has it."""

from checkrein.admin.v1.keys_pb2 import Change

from router.facades.grpc.moments import timestamp_of
from router.ports.keys import AuditRow


def change_of(row: AuditRow) -> Change:
    change = row.change
    return Change(
        time=timestamp_of(change.at_ns),
        actor=change.actor,
        action=change.action,
        revision=row.revision,
        before_json=change.before,
        after_json=change.after,
    )
