"""Serve `AuditService`: decode, ask the control plane, encode."""

import asyncio

import grpc
from checkrein.admin.v1.audit_pb2 import AuditEvent, ListAuditEventsRequest, ListAuditEventsResponse

from router.admin.audit import AuditAdmin, AuditAsked, AuditPage
from router.facades.grpc.admin.changes import change_of
from router.facades.grpc.admin.fields import page_of, span_of
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service


def audit_service(border: Border, audit: AuditAdmin) -> grpc.ServiceRpcHandler:
    async def list_events(request: ListAuditEventsRequest, asking: Asking) -> ListAuditEventsResponse:
        asked = AuditAsked(
            kind=request.kind if request.HasField("kind") else None,
            subject=request.subject if request.HasField("subject") else None,
            actor=request.actor if request.HasField("actor") else None,
            action=request.action if request.HasField("action") else None,
            **span_of(request),
            **page_of(request),
        )
        return await asyncio.to_thread(_events, await audit.list(asking.principal, asked))

    return service(
        "checkrein.admin.v1.AuditService", {"ListAuditEvents": border.unary(ListAuditEventsRequest, list_events)}
    )


def _events(page: AuditPage) -> ListAuditEventsResponse:
    events = [AuditEvent(id=row.id, kind=row.kind, subject=row.subject, change=change_of(row)) for row in page.rows]
    return ListAuditEventsResponse(events=events, next=page.next)
