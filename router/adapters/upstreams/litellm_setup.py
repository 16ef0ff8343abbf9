"""Import litellm and turn off all that it does beside translating: telemetry, retries, caches, logs, its own HTTP.

Importing this module imports litellm; only `litellm_library` does, in a thread.
"""

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from copy import copy
from importlib import import_module
from types import ModuleType
from typing import Final, cast

_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOG": "ERROR",
    "REPEATED_STREAMING_CHUNK_LIMIT": str(10**9),
}
"""Read as it is imported: without the first it asks a server for prices, without the last it breaks off a model that
says the same a hundred times, which a table or a drawing does."""
os.environ.update(_ENVIRONMENT)

import httpx  # noqa: E402 - litellm's own dependency
import litellm  # noqa: E402
from litellm.caching.llm_caching_handler import LLMClientCache  # noqa: E402
from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler  # noqa: E402

from router.adapters.upstreams.litellm_gemini import ask_gemini  # noqa: E402
from router.adapters.upstreams.litellm_library import Acompletion, Litellm  # noqa: E402
from router.adapters.upstreams.litellm_wire import WireTransport  # noqa: E402

DIRECT: Final[dict[str, Acompletion]] = {"gemini": ask_gemini}
"""Providers that are asked past `acompletion`. Without its line here one is asked through it."""
_FLAGS: Final[dict[str, object]] = {
    "telemetry": False,
    "suppress_debug_info": True,
    "redact_messages_in_exceptions": True,
    "turn_off_message_logging": True,
    "disable_streaming_logging": True,
    "num_retries": 0,
    "cache": None,
    "drop_params": False,
    "modify_params": False,
    "callbacks": [],
    "input_callback": [],
    "success_callback": [],
    "failure_callback": [],
}
_HANDLERS: Final = (
    "litellm.llms.bedrock.chat.converse_handler",
    "litellm.llms.custom_httpx.llm_http_handler",
    "litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini",
    "litellm.llms.vertex_ai.context_caching.vertex_ai_context_caching",
    "openai.resources",
)
"""What it would import at a first call, on the event loop: 0.4 s for the last alone, which Azure needs."""
_LOGGERS: Final = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "httpx", "openai", "botocore", "boto3")


class _OneClient(LLMClientCache):
    """litellm looks here for an HTTP client before it makes one: whatever the provider, it finds ours."""

    def __init__(self, client: AsyncHTTPHandler) -> None:
        super().__init__()
        self._client = client

    def get_cache(self, key: str, **more: object) -> object:
        if key.startswith("async_httpx_client"):
            return self._client
        return cast(object, super().get_cache(key, **more))  # type: ignore[no-untyped-call]  # it has no types


def _rehearse() -> None:
    """Have it make what it makes at its first call: half a second during which nothing else of this process runs."""
    for name in _HANDLERS:
        import_module(name)
    made = [{"role": "user", "content": "."}]
    for stream in (False, True):
        answer = litellm.completion(model="gemini/none", messages=made, mock_response=".", stream=stream)
        for _ in answer if stream else ():
            pass


def _set(module: ModuleType, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        setattr(module, name, copy(value) if isinstance(value, list) else value)


def set_up_litellm() -> Litellm:
    """Hand out what we use of it."""
    module = import_module("litellm")
    warnings.filterwarnings("ignore", message="Items? '.*' on TypedDict class")  # its types, at pydantic
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is ours to say: theirs quote prompts
    transport = WireTransport()
    client = AsyncHTTPHandler(transport=transport, follow_redirects=False)
    clients = {
        "in_memory_llm_clients_cache": _OneClient(client),
        "module_level_aclient": client,
        "aclient_session": httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False),
    }
    _set(module, {**_FLAGS, **clients})
    _rehearse()
    _set(module, _FLAGS)  # some of what it has imported now wants to be called back
    return Litellm(
        acompletion=cast(Acompletion, litellm.acompletion),
        supported=cast(Callable[[str], list[str] | None], litellm.get_supported_openai_params),
        direct=DIRECT,
    )
