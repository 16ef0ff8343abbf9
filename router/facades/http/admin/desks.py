"""Name all that can be administered over HTTP, in the order of the documentation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request

from router.admin.administration import Administration
from router.admin.breakers import BreakerAdmin
from router.admin.budgets import BudgetAdmin
from router.admin.ledger import LedgerAdmin
from router.admin.limits import LimitAdmin
from router.admin.usage import UsageAdmin
from router.domain.principal import Principal
from router.facades.http.admin.accounts import account_routes
from router.facades.http.admin.breakers import breaker_routes
from router.facades.http.admin.keys import KeyDesk, key_routes
from router.facades.http.admin.ledger import ledger_routes
from router.facades.http.admin.limits import limit_routes
from router.facades.http.admin.tenants import TenantDesk, tenant_routes
from router.facades.http.admin.usage import usage_routes
from router.ports.records import RecordKind


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminDesks:
    """What is None is not administered."""

    keys: KeyDesk | None = None
    tenants: TenantDesk | None = None
    budgets: BudgetAdmin | None = None
    limits: LimitAdmin | None = None
    breakers: BreakerAdmin | None = None
    usage: UsageAdmin | None = None
    ledger: LedgerAdmin | None = None

    @classmethod
    def of(
        cls, admin: Administration, *, key: Mapping[str, object], tenants: Mapping[RecordKind, Mapping[str, object]]
    ) -> "AdminDesks":
        """Offer everything. `key` and `tenants` are the JSON Schemas of their settings, for the documentation."""
        return cls(
            keys=KeyDesk(keys=admin.keys, schema=key),
            tenants=TenantDesk(
                tenants=admin.tenants,
                top_ups=admin.top_ups,
                audit=admin.audit,
                budgets=admin.budgets,
                settings=tenants,
            ),
            budgets=admin.budgets,
            limits=admin.limits,
            breakers=admin.breakers,
            usage=admin.usage,
            ledger=admin.ledger,
        )

    def routes(self, principal: Callable[[Request], Principal]) -> Iterator[APIRouter]:
        """Build the routes. `principal` recognises the caller, before its question is read."""
        if self.keys is not None:
            yield key_routes(self.keys, principal)
        if self.tenants is not None:
            yield tenant_routes(self.tenants, principal)
        if self.budgets is not None:
            yield account_routes(self.budgets, principal)
        if self.limits is not None:
            yield limit_routes(self.limits, principal)
        if self.breakers is not None:
            yield breaker_routes(self.breakers, principal)
        if self.usage is not None:
            yield usage_routes(self.usage, principal)
        if self.ledger is not None:
            yield ledger_routes(self.ledger, principal)

    def schemas(self) -> Iterator[Mapping[str, object]]:
        """Yield the schemas that FastAPI cannot see, for bodies that are sections of the configuration."""
        for desk in (self.keys, self.tenants):
            if desk is not None:
                yield desk.schemas()
