"""Serve `/admin/v1/accounts`: decode, ask the control plane, encode."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from router.admin.budgets import PAGE_ACCOUNTS, PAGE_ACCOUNTS_MAX, AccountPage, BudgetAdmin, window_name
from router.domain.governance.account import AccountState
from router.domain.instants import NS_PER_MS
from router.domain.principal import Principal

_ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "Any failure, in the one error shape.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}


class BudgetScopeView(BaseModel):
    kind: str = Field(description="`workflow`, `key`, `user`, `team`, `organization`, `agent`, `tag`, `model`.")
    value: str = Field(description="Whose account it is.")


class AccountView(BaseModel):
    """How one account of a budget stands. Amounts are in its unit, and nano-USD (1e-9) where that is `usd`."""

    object: str = "account"
    budget: str = Field(description="The budget's id.")
    scope: BudgetScopeView
    unit: str = Field(description="`usd`, `tokens`, `requests`, `seconds`.")
    window: str = Field(description="Such as `month@UTC`, `1d`, `lifetime`.")
    limit: int = Field(description="What tops it up included.")
    used: int = Field(description="Posted in this window.")
    reserved: int = Field(description="Held by calls that are still open.")
    resets_at_ms: int | None = Field(description="When the window ends, or the oldest money leaves it; null: never.")
    observed: bool = Field(description="The budget counts and tells, and does nothing to any call.")


class AccountList(BaseModel):
    object: str = "list"
    data: list[AccountView]
    next: str | None = Field(description="Send it as `after` for the next page; null: this is the last.")


def account_routes(budgets: BudgetAdmin, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the route. `principal` recognises the caller, before its question is read."""
    routes = APIRouter(prefix="/admin/v1/accounts", tags=["budgets"], responses=_ERRORS)
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.get("", response_model=AccountList, summary="List the accounts of the budgets in force.")
    async def list_accounts(
        caller: Caller,
        after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
        limit: Annotated[
            int, Query(description=f"1 to {PAGE_ACCOUNTS_MAX}; beyond is brought within.")
        ] = PAGE_ACCOUNTS,
    ) -> Response:
        page = budgets.list(caller, after=after, limit=limit)
        return Response(await run_in_threadpool(_encoded, page), media_type="application/json")

    return routes


def _encoded(page: AccountPage) -> str:
    return AccountList(data=[view_account(state) for state in page.accounts], next=page.next).model_dump_json()


def view_account(state: AccountState) -> AccountView:
    budget, resets_at_ns = state.budget, state.resets_at_ns
    return AccountView(
        budget=budget.id,
        scope=BudgetScopeView(kind=budget.scope.kind, value=state.value),
        unit=budget.unit,
        window=window_name(budget.window),
        limit=state.limit,
        used=state.used,
        reserved=state.reserved,
        resets_at_ms=None if resets_at_ns is None else resets_at_ns // NS_PER_MS,
        observed=budget.observe,
    )
