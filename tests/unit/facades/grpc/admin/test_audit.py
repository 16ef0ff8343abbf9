"""The service of the audit decodes and encodes, and asks for exactly what it was asked."""

import pytest
from checkrein.admin.v1.audit_pb2 import AuditEvent, ListAuditEventsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from router.admin.audit import AuditAdmin
from router.domain.faults import Fault
from router.facades.grpc.admin.audit import audit_service
from router.facades.grpc.admin.changes import change_of
from router.ports.keys import AuditRow
from router.ports.records import AuditFilter
from tests.support.grpc_service import USER, Service
from tests.support.keys import change


class ListedAudit:
    """An audit of three changes, which remembers what it was asked for."""

    def __init__(self) -> None:
        self.rows = [AuditRow(id=id_, kind="user", subject="ann", revision=id_, change=change()) for id_ in (3, 2, 1)]
        self.asked: list[tuple[AuditFilter, int]] = []

    async def audit(self, sought: AuditFilter, limit: int) -> list[AuditRow]:
        self.asked.append((sought, limit))
        return [row for row in self.rows if sought.before_id is None or row.id < sought.before_id][:limit]


@pytest.fixture
def audit() -> ListedAudit:
    return ListedAudit()


@pytest.fixture
def site(audit: ListedAudit) -> Service:
    return Service(audit_service, AuditAdmin(audit))  # type: ignore[arg-type]  # nothing else of the store is used


async def test_a_change_is_told_with_what_it_was_a_change_of(site: Service, audit: ListedAudit) -> None:
    first = await site.ask(ListAuditEventsRequest(limit=2))
    rest = await site.ask(ListAuditEventsRequest(limit=2, after=first.next))

    expected = [AuditEvent(id=row.id, kind="user", subject="ann", change=change_of(row)) for row in audit.rows]
    assert (expected[:2], "2") == (list(first.events), first.next)
    assert (expected[2:], False) == (list(rest.events), rest.HasField("next"))


async def test_what_is_looked_for_is_what_was_said(site: Service, audit: ListedAudit) -> None:
    await site.ask(ListAuditEventsRequest())
    await site.ask(
        ListAuditEventsRequest(
            kind="key",
            subject="s",
            actor="a",
            action="create",
            since=Timestamp(seconds=1),
            until=Timestamp(seconds=2, nanos=3),
            limit=2**31 - 1,
        )
    )
    full = AuditFilter(
        kind="key", subject="s", actor="a", action="create", since_ns=10**9, until_ns=2 * 10**9 + 3, before_id=None
    )

    assert [(AuditFilter(), 101), (full, 1_001)] == audit.asked


async def test_only_administrators_read_and_only_pages_go_on(site: Service) -> None:
    assert (Fault.PERMISSION_DENIED, None) == await site.refusal(ListAuditEventsRequest(), USER)
    assert (Fault.INVALID_REQUEST, "after") == await site.refusal(ListAuditEventsRequest(after="x"))
