"""Serve `BudgetService`: decode, ask the control plane, encode."""

import asyncio

import grpc
from checkrein.admin.v1.budgets_pb2 import (
    Account,
    CreateTopUpRequest,
    CreateTopUpResponse,
    DeleteTopUpRequest,
    DeleteTopUpResponse,
    ListAccountsRequest,
    ListAccountsResponse,
    ListTopUpsRequest,
    ListTopUpsResponse,
    TopUp,
)

from router.admin.budgets import AccountPage, BudgetAdmin, window_name
from router.admin.top_ups import TopUpAdmin, TopUpAsked, TopUpFacts
from router.domain.governance.account import AccountState
from router.facades.grpc.admin.fields import page_of, said
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.moments import ns_of, timestamp_of


def budget_service(border: Border, budgets: BudgetAdmin, top_ups: TopUpAdmin) -> grpc.ServiceRpcHandler:
    serving = _Budgets(budgets, top_ups)
    return service(
        "checkrein.admin.v1.BudgetService",
        {
            "ListAccounts": border.unary(ListAccountsRequest, serving.list_accounts),
            "CreateTopUp": border.unary(CreateTopUpRequest, serving.create_top_up),
            "ListTopUps": border.unary(ListTopUpsRequest, serving.list_top_ups),
            "DeleteTopUp": border.unary(DeleteTopUpRequest, serving.delete_top_up),
        },
    )


class _Budgets:
    """Each method looks at who asks before it looks at what."""

    def __init__(self, budgets: BudgetAdmin, top_ups: TopUpAdmin) -> None:
        self._budgets = budgets
        self._top_ups = top_ups

    async def list_accounts(self, request: ListAccountsRequest, asking: Asking) -> ListAccountsResponse:
        page = self._budgets.list(asking.principal, **page_of(request))
        return await asyncio.to_thread(_accounts, page)

    async def create_top_up(self, request: CreateTopUpRequest, asking: Asking) -> CreateTopUpResponse:
        self._top_ups.require_admin(asking.principal)
        asked = TopUpAsked(
            amount=request.amount,
            until_ns=ns_of(request.until) if request.HasField("until") else None,
            span_ns=ns_of(request.lasting) if request.HasField("lasting") else None,
            value=request.value if request.HasField("value") else None,
            reason=request.reason,
        )
        made = await self._top_ups.create(asking.principal, said(request.budget, "budget"), asked)
        return CreateTopUpResponse(top_up=_top_up(made))

    async def list_top_ups(self, request: ListTopUpsRequest, asking: Asking) -> ListTopUpsResponse:
        self._top_ups.require_admin(asking.principal)
        found = await self._top_ups.list(asking.principal, said(request.budget, "budget"))
        return ListTopUpsResponse(top_ups=map(_top_up, found))

    async def delete_top_up(self, request: DeleteTopUpRequest, asking: Asking) -> DeleteTopUpResponse:
        self._top_ups.require_admin(asking.principal)
        await self._top_ups.delete(asking.principal, said(request.budget, "budget"), said(request.id, "id"))
        return DeleteTopUpResponse()


def _accounts(page: AccountPage) -> ListAccountsResponse:
    return ListAccountsResponse(accounts=map(account_of, page.accounts), next=page.next)


def account_of(state: AccountState) -> Account:
    budget = state.budget
    return Account(
        budget=budget.id,
        scope_kind=budget.scope.kind,
        scope_value=state.value,
        unit=budget.unit,
        window=window_name(budget.window),
        limit=state.limit,
        used=state.used,
        reserved=state.reserved,
        reset_time=timestamp_of(state.resets_at_ns),
        observed=budget.observe,
    )


def _top_up(facts: TopUpFacts) -> TopUp:
    terms = facts.terms
    return TopUp(
        id=facts.id,
        budget=terms.budget,
        value=terms.value,
        amount=terms.amount,
        end_time=timestamp_of(terms.until_ns),
        ended=facts.ended,
        reason=terms.reason,
        create_time=timestamp_of(facts.created_ns),
    )
