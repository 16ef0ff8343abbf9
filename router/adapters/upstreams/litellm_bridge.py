"""Ask a provider through litellm: one that speaks neither OpenAI's dialect nor another of ours."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from router.adapters.upstreams.error_body import ErrorReader, is_secret
from router.adapters.upstreams.litellm_exchange import Exchange, Origins
from router.adapters.upstreams.litellm_failure import refused
from router.adapters.upstreams.litellm_library import Acompletion, Litellm, LitellmLibrary, LitellmMissing
from router.adapters.upstreams.litellm_reply import LINGER_S_MAX, LitellmReply
from router.adapters.upstreams.litellm_request import MEMBERS, Unsupported, arguments_of
from router.adapters.upstreams.watch import Watches, timeout_words
from router.domain.catalog import Provider
from router.domain.dispatch.failure import FailureKind
from router.domain.instants import NS_PER_S
from router.domain.stream import ReplyMode
from router.ports.clock import Clock
from router.ports.transport import Transport
from router.ports.upstream import UpstreamFailed, UpstreamRequest

DROPPED_HEADER: Final = b"x-checkrein-dropped-params"

_FIXED: Final = {
    "num_retries": 0,
    "max_retries": 0,
    "caching": False,
    "no-log": True,
    "_skip_mcp_handler": True,
}
"""Retries, caches and records are ours, and so are servers of tools, for which it would import what is not installed.
They win over the operator's `params`."""
_ROUTES: Final = {"bedrock": "converse/"}
"""Which dialect of a provider's is spoken when the model's name does not say: Converse has all of Bedrock's models."""
_BEDROCK_ROUTES: Final = ("converse/", "invoke/")
_PARAMS_DIRECT: Final = frozenset({"api_base"})
_DROP: Final = "drop_params"
_FLAGS: Final = {"true": True, "false": False}


class LitellmBridge:
    """One provider of kind `litellm`."""

    def __init__(
        self,
        provider: Provider,
        *,
        library: LitellmLibrary,
        connect: Callable[[Provider], Transport],
        clock: Clock,
    ) -> None:
        """`connect` makes a transport to the `base_url` of the provider that it is given."""
        self._timeouts = provider.timeouts
        self._watches = Watches(provider.timeouts)
        self._library = library
        self._clock = clock
        self._family = provider.litellm_provider
        params: dict[str, object] = {name: _FLAGS.get(value, value) for name, value in provider.params}
        self._drop = params.pop(_DROP, False) is True
        if provider.base_url:
            params.setdefault("api_base", provider.base_url)
        self._params = params
        self._keys = {credential.name: credential.key for credential in provider.credentials}
        self._first = provider.credentials[0].key
        self._extra = {
            name.lower().encode("ascii"): value.encode("latin-1") for name, value in provider.network.headers
        }
        self._errors = ErrorReader(provider.id, [*_secrets(provider)])
        self._origins = Origins(lambda origin: connect(replace(provider, base_url=origin)))
        self._supported: dict[str, Sequence[str] | None] = {}
        self._replies: set[LitellmReply] = set()
        library.want()

    async def open(self, request: UpstreamRequest) -> LitellmReply:
        """Hand the request to litellm and return at once, but for the import; the first `read` tells of the rest.

        Raises `UpstreamFailed`.
        """
        started_s = asyncio.get_running_loop().time()
        total_ns = min(self._timeouts.total_ns, request.total_ns or self._timeouts.total_ns)
        waits_ns = total_ns
        if request.mode is ReplyMode.STREAM:
            waits_ns = min(total_ns, self._timeouts.stream_first_event_ns)
        try:
            async with asyncio.timeout(waits_ns / NS_PER_S):
                litellm = await self._library.get()
        except LitellmMissing as exc:
            raise UpstreamFailed(self._errors.own(FailureKind.CONNECT, str(exc))) from exc
        except TimeoutError as exc:
            words = timeout_words(FailureKind.TOTAL_TIMEOUT, waits_ns)
            raise UpstreamFailed(self._errors.own(FailureKind.CONNECT_TIMEOUT, words)) from exc
        model = name_for_litellm(self._family, request.deployment.upstream_model)
        if model not in self._supported:
            self._supported[model] = litellm.supported(model)
        try:
            asked = arguments_of(
                request.body,
                mode=request.mode,
                model=model,
                supported=self._supported[model],
                drop=self._drop or request.drop_params,
            )
        except Unsupported as exc:
            raise UpstreamFailed(refused(exc)) from exc
        key = self._keys.get(request.deployment.credential, self._first)
        own = {"api_key": key.reveal()} if key is not None else {}
        reply = LitellmReply(
            self._asker(litellm, model, own),
            {**asked.fields, **self._params, **own, **_FIXED, "model": model, "timeout": total_ns / NS_PER_S},
            exchange=Exchange(self._origins, {**self._extra, **dict(request.headers)}),
            mode=request.mode,
            started_s=started_s,
            watches=self._watches,
            total_ns=total_ns,
            errors=self._errors,
            clock=self._clock,
            dropped=_say_dropped(asked.dropped),
        )
        self._replies.add(reply)
        reply.task.add_done_callback(lambda _task: self._replies.discard(reply))
        return reply

    def _asker(self, litellm: Litellm, model: str, own: Mapping[str, object]) -> Acompletion:
        """Choose the shorter way if all that litellm would be told is what that way knows."""
        if own and self._params.keys() <= _PARAMS_DIRECT:
            return litellm.direct.get(model.partition("/")[0], litellm.acompletion)
        return litellm.acompletion

    async def close(self) -> None:
        """Close idle connections. What was aborted is seen to its end, which is near."""
        left = [reply.task for reply in self._replies if reply.is_left]
        if left:
            await asyncio.wait(left, timeout=2 * LINGER_S_MAX)
        await self._origins.close()


def name_for_litellm(family: str | None, model: str) -> str:
    """Say to litellm whose model it is; without a family the model's own name does."""
    if not family:
        return model
    route = "" if model.startswith(_BEDROCK_ROUTES) else _ROUTES.get(family, "")
    return f"{family}/{route}{model}"


def _say_dropped(names: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Name what was left out. Other names than litellm's members are callers' own text, and stay out of a header."""
    said = [name for name in names if name in MEMBERS]
    if len(said) < len(names):
        said.append("others")
    return [(DROPPED_HEADER, ", ".join(said).encode("ascii"))] if said else []


def _secrets(provider: Provider) -> list[str]:
    return [
        *(credential.key.reveal() for credential in provider.credentials if credential.key is not None),
        *(value for name, value in provider.params if is_secret(name)),
        *(value for name, value in provider.network.headers if is_secret(name)),
    ]
