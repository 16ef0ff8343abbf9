"""Ask Gemini by litellm's transformations alone: what `acompletion` does around them costs ten times what they do.

A stand-in for `acompletion` that takes the same arguments and answers the same. Importing this module imports litellm;
only `litellm_setup` does, in a thread.
"""

import asyncio
import inspect
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol, cast

import httpx
import litellm
from litellm import utils
from litellm._version import version
from litellm.constants import DEFAULT_CHAT_COMPLETION_PARAM_VALUES
from litellm.litellm_core_utils.prompt_templates.common_utils import update_messages_with_model_file_ids
from litellm.llms.vertex_ai.gemini.transformation import transform_request_body
from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexLLM
from litellm.secret_managers.main import get_secret

from router.adapters.upstreams.litellm_exchange import Exchange, Fields, current_exchange
from router.adapters.upstreams.litellm_gemini_stream import GeminiStream, Maker, Unlogged
from router.adapters.upstreams.litellm_request import MEMBERS
from router.ports.transport import HttpReply

Members = dict[str, object]
Messages = list[Members]


class _Steps(Protocol):
    """What `completion` does to the members of a request."""

    def validate_and_fix_openai_messages(self, messages: object) -> Messages: ...
    def validate_and_fix_openai_tools(self, tools: object) -> object: ...
    def validate_chat_completion_tool_choice(self, tool_choice: object, model: str) -> object: ...
    def validate_openai_optional_params(self, stop: object) -> object: ...
    def validate_and_fix_thinking_param(self, thinking: object) -> object: ...
    def pre_process_non_default_params(self, **more: object) -> Members: ...
    def add_provider_specific_params_to_optional_params(self, **more: object) -> Members: ...
    def get_optional_params(self, **more: object) -> Members: ...


class _Config(Protocol):
    """The transformation class."""

    def translate_developer_role_to_system_role(self, messages: Messages) -> Messages: ...
    def map_openai_params(self, **more: object) -> Members: ...
    def validate_environment(self, **more: object) -> dict[str, str]: ...
    def transform_response(self, **more: object) -> object: ...


MESSAGES_MAX: Final = 1_000
SCHEMA_CHARS_MAX: Final = 100_000
"""What is put into Gemini's form on the event loop, in about 5 ms; more is done in a thread."""

_SCHEMAS: Final = ("tools", "functions", "response_format")
_FAMILY: Final = "gemini"
_ADDRESSES_MAX: Final = 256
"""Two for each model of the operator's."""
_ORDER: Final = tuple(inspect.signature(utils.get_optional_params).parameters)
"""litellm reads members in this order: of two that mean the same the later one counts."""
_OPENAI: Final = [*DEFAULT_CHAT_COMPLETION_PARAM_VALUES]
_AS_LITELLM: Final = ((b"accept", b"*/*"), (b"user-agent", b"litellm/" + version.encode("ascii")))

_steps: Final = cast(_Steps, utils)
_config: Final = cast(Callable[[], _Config], litellm.GoogleAIStudioGeminiConfig)
_with_files: Final = cast(Callable[[Messages, None, Members], Messages], update_messages_with_model_file_ids)
_transform: Final = cast(Maker[Members], transform_request_body)
_way: Final = cast(Maker[tuple[dict[str, str], str]], VertexLLM().get_token_and_url)


class _Received:
    """A whole reply, as much of it as the transformation looks at."""

    text = ""  # for the log

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers = headers
        self._body = body

    def json(self) -> object:
        return json.loads(self._body)


class Refused(Exception):
    """The status is no success. The exchange has it, and what was said."""


async def ask_gemini(**arguments: object) -> object:
    """Return what `acompletion` would: a reply, or a stream of chunks. Raises whatever litellm's parts do."""
    model = cast(str, arguments["model"]).partition("/")[2]
    stream = arguments.get("stream") is True
    asked = {name: value for name, value in arguments.items() if name in MEMBERS and name != "model"}
    if _takes_long(asked):
        body = await asyncio.to_thread(_body_of, model, asked)
    else:
        body = _body_of(model, asked)
    headers, origin, target = _way_to(model, arguments, stream=stream)
    exchange = current_exchange()
    reply = await exchange.send(method="POST", origin=origin, target=target, fields=headers, body=body)
    if not 200 <= reply.status < 300:
        raise Refused
    received = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}
    log = Unlogged({"functions": asked.get("functions")})
    if stream:
        return GeminiStream(exchange, reply, headers=received, model=model, log=log)
    answer = litellm.ModelResponse()
    answer.usage = litellm.Usage()
    return _config().transform_response(
        model=model,
        raw_response=_Received(received, await _read(exchange, reply)),
        model_response=answer,
        logging_obj=log,
        request_data={},
        messages=[],
        optional_params={},
        litellm_params={},
        encoding=None,
    )


def _takes_long(asked: Members) -> bool:
    """So long that other calls should not wait: definitions that refer to each other double with every step."""
    schemas = [asked[name] for name in _SCHEMAS if name in asked]
    text = repr(schemas) if schemas else ""
    return "$ref" in text or len(text) > SCHEMA_CHARS_MAX or len(cast(Messages, asked["messages"])) > MESSAGES_MAX


def _body_of(model: str, asked: Members) -> bytes:
    """Do to a request what `completion` does to it, in its order. Asks nobody: what would be fetched was refused."""
    messages = _steps.validate_and_fix_openai_messages(messages=asked["messages"])
    checked = {
        "tools": _steps.validate_and_fix_openai_tools(tools=asked.get("tools")),
        "tool_choice": _steps.validate_chat_completion_tool_choice(asked.get("tool_choice"), model),
        "stop": _steps.validate_openai_optional_params(stop=asked.get("stop")),
        "thinking": _steps.validate_and_fix_thinking_param(thinking=asked.get("thinking")),
    }
    messages = _with_files(messages, None, {})
    messages = _config().translate_developer_role_to_system_role(messages=messages)
    optional = _mapped(model, {**asked, **checked, "messages": messages})
    optional.pop("stream", None)
    body = _transform(
        messages=messages,
        model=model,
        optional_params=optional,
        custom_llm_provider=_FAMILY,
        litellm_params={},
        cached_content=None,  # what Google stores for a time, and bills: not what `cache_control` asks for
    )
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _mapped(model: str, asked: Members) -> Members:
    """Bring the other members to Gemini's names. `get_optional_params` is these three, and 0.1 ms for all others."""
    if "function_call" in asked:  # Gemini has no such thing, and this is the one place that says so
        return _steps.get_optional_params(model=model, custom_llm_provider=_FAMILY, **asked)
    passed = {name: asked[name] for name in _ORDER if name in asked} | asked
    own = _steps.pre_process_non_default_params(
        passed_params=passed,
        special_params={},
        custom_llm_provider=_FAMILY,
        additional_drop_params=None,
        model=model,
        provider_config=_config(),
    )
    return _steps.add_provider_specific_params_to_optional_params(
        optional_params=_config().map_openai_params(
            non_default_params=own, optional_params={}, model=model, drop_params=False
        ),
        passed_params=passed,
        custom_llm_provider=_FAMILY,
        openai_params=_OPENAI,
    )


def _way_to(model: str, arguments: Members, *, stream: bool) -> tuple[Fields, str, bytes]:
    """Return the headers, the origin and the target."""
    auth, address = _way(
        model=model,
        auth_header="",
        gemini_api_key=arguments["api_key"],
        vertex_project="",
        vertex_location=None,
        vertex_credentials=None,
        stream=stream,
        custom_llm_provider=_FAMILY,
        api_base=arguments.get("api_base") or litellm.api_base or get_secret("GEMINI_API_BASE"),
    )
    headers = _config().validate_environment(
        api_key=auth, headers={}, model=model, messages=[], optional_params={}, litellm_params={}
    )
    own = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    origin, host, target = _parts_of(address)
    return [(b"host", host), *_AS_LITELLM, *own], origin, target


@lru_cache(_ADDRESSES_MAX)
def _parts_of(address: str) -> tuple[str, bytes, bytes]:
    url = httpx.URL(address)
    return f"{url.scheme}://{url.netloc.decode('ascii')}", url.netloc, url.raw_path


async def _read(exchange: Exchange, reply: HttpReply) -> bytes:
    parts = []
    while data := await exchange.read(reply):
        parts.append(data)
    return b"".join(parts)
