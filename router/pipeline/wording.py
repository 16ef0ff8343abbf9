"""Put a call's request into the words of the deployment that is to receive it."""

from typing import Final

import msgspec

from router.domain.catalog import Deployment, Provider
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


def worded_for(deployment: Deployment, provider: Provider, request: Request, plan: RoutePlan) -> Request | Refusal:
    """Return the request as the deployment can read it: most often the caller's own.

    Without what was meant for the router, and without what only another provider can read.
    """
    directives = plan.directives
    if directives is not NO_DIRECTIVES:
        left = {name: raw for name, raw in request.fields.items() if name not in directives.consumed}
        request = msgspec.structs.replace(request, fields=left)
    moved = plan.home is not None and plan.home != deployment.provider
    if moved:
        request = for_another_provider(request)
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
