"""Name all services of administrators, in the order of the documentation."""

from collections.abc import Iterator

import grpc

from router.admin.administration import Administration
from router.facades.grpc.admin.audit import audit_service
from router.facades.grpc.admin.breakers import breaker_service
from router.facades.grpc.admin.budgets import budget_service
from router.facades.grpc.admin.keys import key_service
from router.facades.grpc.admin.ledger import ledger_service
from router.facades.grpc.admin.limits import limit_service
from router.facades.grpc.admin.tenants import tenant_service
from router.facades.grpc.admin.usage import usage_service
from router.facades.grpc.border import Border


def admin_services(border: Border, administration: Administration) -> Iterator[grpc.ServiceRpcHandler]:
    yield key_service(border, administration.keys)
    yield tenant_service(border, administration.tenants, administration.budgets)
    yield budget_service(border, administration.budgets, administration.top_ups)
    yield audit_service(border, administration.audit)
    yield usage_service(border, administration.usage)
    yield ledger_service(border, administration.ledger)
    yield limit_service(border, administration.limits)
    yield breaker_service(border, administration.breakers)
