"""Put a call's request into the words of the deployment that is to receive it."""

from typing import Final

import msgspec

from router.domain.catalog import Deployment, Provider
from router.domain.dialects.authors import Authors, is_signed
from router.domain.dialects.chat.thoughts import with_thoughts
from router.domain.dialects.dialect import Dialect, spoken_for
from router.domain.dialects.request import Request
from router.domain.dialects.scoped import for_another_provider
from router.domain.dialects.translation import Untranslatable
from router.domain.dialects.translators import translate
from router.domain.faults import Fault, Refusal
from router.domain.planning.directives import NO_DIRECTIVES
from router.domain.planning.plan import RoutePlan

_MAX_TOKENS_UNSAID: Final = 4_096
"""For callers that name no maximum, where the dialect wants one and nobody knows the deployment's."""


def worded_for(
    deployment: Deployment, provider: Provider, request: Request, plan: RoutePlan, authors: Authors | None = None
) -> Request | Refusal:
    """Return the request as the deployment can read it: most often the caller's own.

    Without what was meant for the router, and without what only another provider can read. `authors`: None where
    nobody remembers who wrote what.
    """
    directives = plan.directives
    if directives is not NO_DIRECTIVES:
        left = {name: raw for name, raw in request.fields.items() if name not in directives.consumed}
        request = msgspec.structs.replace(request, fields=left)
    at_home = plan.home is None or plan.home == deployment.provider
    came = request
    if authors is not None and authors.others_than(deployment.provider):
        request = _with_its_own(request, deployment, authors, unknown=at_home)
    elif not at_home:
        request = for_another_provider(request)
    moved = not at_home or request is not came
    asked = request.grammar.dialect
    if asked in deployment.dialects:
        return with_thoughts(request) if moved and asked is Dialect.CHAT and provider.wants_thoughts else request
    spoken = spoken_for(asked, deployment.dialects)
    assert spoken is not None, "who cannot be asked is no candidate"
    translated = translate(
        request,
        spoken,
        drop=directives.drop_params,
        max_tokens_default=deployment.max_output_tokens or _MAX_TOKENS_UNSAID,
        model=deployment.upstream_model,
        extended=provider.extends_chat,
    )
    if isinstance(translated, Untranslatable):
        return Refusal(fault=Fault.UNSUPPORTED_PARAMETER, message=translated.message, param=translated.param)
    return with_thoughts(translated) if spoken is Dialect.CHAT and provider.wants_thoughts else translated


def _with_its_own(request: Request, deployment: Deployment, authors: Authors, *, unknown: bool) -> Request:
    """Leave in the request what this provider signed. `unknown`: whether what nobody is known to have signed is its."""
    turns = request.fields.get(request.grammar.content)
    if unknown and (turns is None or not is_signed(bytes(turns))):
        return request
    provider = deployment.provider

    def knows(message: bytes) -> bool:
        wrote = authors.wrote(provider, message)
        return unknown if wrote is None else wrote

    return for_another_provider(request, knows)
