"""Serve `BreakerService`: decode, ask the control plane, encode."""

import grpc
from checkrein.admin.v1.breakers_pb2 import (
    Breaker,
    CloseBreakerRequest,
    CloseBreakerResponse,
    ListBreakersRequest,
    ListBreakersResponse,
    OpenBreakerRequest,
    OpenBreakerResponse,
    ResetBreakerRequest,
    ResetBreakerResponse,
)

from router.admin.breakers import BreakerAdmin, TargetView
from router.domain.dispatch.failure import Park
from router.facades.grpc.admin.fields import said
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.moments import timestamp_of
from router.facades.grpc.recorded import reason_of


def breaker_service(border: Border, breakers: BreakerAdmin) -> grpc.ServiceRpcHandler:
    serving = _Breakers(breakers)
    return service(
        "checkrein.admin.v1.BreakerService",
        {
            "ListBreakers": border.unary(ListBreakersRequest, serving.list),
            "OpenBreaker": border.unary(OpenBreakerRequest, serving.open),
            "CloseBreaker": border.unary(CloseBreakerRequest, serving.close),
            "ResetBreaker": border.unary(ResetBreakerRequest, serving.reset),
        },
    )


class _Breakers:
    """Each method looks at who asks before it looks at what."""

    def __init__(self, breakers: BreakerAdmin) -> None:
        self._breakers = breakers

    async def list(self, _request: ListBreakersRequest, asking: Asking) -> ListBreakersResponse:
        return ListBreakersResponse(breakers=map(_breaker, self._breakers.list(asking.principal)))

    async def open(self, request: OpenBreakerRequest, asking: Asking) -> OpenBreakerResponse:
        target = self._target(request, asking)
        return OpenBreakerResponse(breaker=_breaker(self._breakers.open(asking.principal, target)))

    async def close(self, request: CloseBreakerRequest, asking: Asking) -> CloseBreakerResponse:
        target = self._target(request, asking)
        return CloseBreakerResponse(breaker=_breaker(self._breakers.close(asking.principal, target)))

    async def reset(self, request: ResetBreakerRequest, asking: Asking) -> ResetBreakerResponse:
        target = self._target(request, asking)
        return ResetBreakerResponse(breaker=_breaker(self._breakers.reset(asking.principal, target)))

    def _target(self, request: OpenBreakerRequest | CloseBreakerRequest | ResetBreakerRequest, asking: Asking) -> str:
        self._breakers.require_admin(asking.principal)
        return said(request.target, "target")


def _breaker(view: TargetView) -> Breaker:
    state = view.state
    return Breaker(
        target=state.target,
        deployment=state.deployment,
        provider=state.provider,
        credential=state.credential,
        state=state.state,
        opened_by=state.opened_by,
        calls=state.calls,
        failures=state.failures,
        slow=state.slow,
        failures_in_a_row=state.failures_in_a_row,
        opens_until=timestamp_of(view.opens_until_ns),
        not_before=timestamp_of(view.not_before_ns),
        not_before_why=None if state.not_before_why is Park.NOTHING else state.not_before_why,
        credential_parked_until=timestamp_of(view.credential_parked_until_ns),
        credential_parked_why=reason_of(state.credential_parked_why),
    )
