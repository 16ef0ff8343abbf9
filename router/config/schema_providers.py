"""Describe providers: where they are, how they are asked, and how long we wait for them."""

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, PlainSerializer
from pydantic.config import JsonDict

from router.config.section import Section
from router.config.units import INVALID_SECRET, Name, SecretText, Share, Text, duration, invalid
from router.domain.catalog import FinishRepair, ProviderKind
from router.domain.dialects.dialect import Dialect
from router.domain.instants import NS_PER_S
from router.domain.secret import Secret

_SECRET_WORDS = ("key", "secret", "token", "password", "credential")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if good else None


def _check_base_url(url: str) -> str:
    if not url:
        return url
    parts = _split(url)
    if parts is None:
        raise invalid("not a base URL", "write it as https://host/v1", INVALID_SECRET)
    if "@" in parts.netloc or parts.query or parts.fragment:
        fix = "put keys into api_key or network.headers"
        raise invalid("holds more than scheme, host and path", fix, INVALID_SECRET)
    return url.rstrip("/")


def _check_proxy(proxy: Secret) -> Secret:
    if not proxy.reveal():
        return proxy
    parts = _split(proxy.reveal())
    if parts is None or parts.scheme != "http" or parts.path not in ("", "/") or parts.query:
        raise invalid("is not a proxy", "write it as http://user:password@host:port", INVALID_SECRET)
    return proxy


BaseUrl = Annotated[str, AfterValidator(_check_base_url)]


def _hide_secret_params(params: dict[str, str]) -> dict[str, str]:
    return {
        name: "***" if any(word in name.lower() for word in _SECRET_WORDS) else value for name, value in params.items()
    }


Params = Annotated[dict[str, str], PlainSerializer(_hide_secret_params, when_used="json")]


class CredentialSettings(Section):
    name: Name = Field(description="Name of the credential in metrics and in the ledger.")
    api_key: SecretText | None = Field(default=None, description="The key, best as ${VAR}.")
    api_key_file: Text | None = Field(default=None, description="A file that holds the key.")


class TimeoutSettings(Section):
    connect: Annotated[int, duration("10ms", "10m")] = Field(
        default=5 * NS_PER_S, description="Name lookup, TCP and TLS."
    )
    stream_first_event: Annotated[int, duration("10ms", "1d")] = Field(
        default=120 * NS_PER_S, description="From dispatch to the first event of a stream."
    )
    stream_idle: Annotated[int, duration("10ms", "1d")] = Field(
        default=120 * NS_PER_S,
        description="Longest silence between events of a stream, and longest time to take nothing of an upload.",
    )
    total: Annotated[int, duration("10ms", "1d")] = Field(
        default=600 * NS_PER_S, description="One whole attempt, streamed or not."
    )


class NetworkSettings(Section):
    proxy: Annotated[SecretText, AfterValidator(_check_proxy)] | None = Field(
        default=None, description="HTTP proxy that opens the tunnels to it: `http://user:password@host:port`."
    )
    ca_file: str | None = Field(default=None, description="Certificate authorities in PEM to trust instead.")
    headers: dict[str, SecretText] = Field(default={}, description="Headers to send with every request.")
    allow_private: bool | None = Field(
        default=None,
        description="Allow loopback and private networks; absent: where base_url or preset is of this machine.",
    )


class ScriptSettings(Section):
    first_token: Annotated[int, duration("0s", "1h")] = Field(default=0, description="Time to the first token.")
    tokens_per_s: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=0.0, description="Pace of a reply; 0 is as fast as the reader takes it."
    )
    reply: str | None = Field(default=None, description="Text to answer; null: a text about the last message.")
    reply_tokens: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=32, description="Length of a text about the last message."
    )
    error_rate: Share = Field(default=0.0, description="Share of requests that fail, spread evenly.")
    error_status: Annotated[int, Field(ge=400, le=599)] = Field(default=500, description="Status with which they fail.")
    cut_after_tokens: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="Streams end unfinished after so many tokens."
    )
    report_usage: bool = Field(default=True, description="Report usage as a good provider does.")


class RepairSettings(Section):
    finish_reason: FinishRepair = Field(
        default=FinishRepair.TOOL_CALLS,
        description="A reply with tool calls that claims an ordinary end ends in them; `keep`: as its provider says.",
    )


def _kind_may_be_absent(schema: JsonDict) -> None:
    """A preset fills it in, so an editor must not ask for it."""
    required = schema.get("required")
    if isinstance(required, list):
        required.remove("kind")


class ProviderSettings(Section, json_schema_extra=_kind_may_be_absent):
    name: Name = Field(description="Name that deployments refer to; the name of a preset fills in the rest.")
    preset: Text | None = Field(default=None, description="Preset to use when it is not the name.")
    kind: ProviderKind = Field(description="How to speak to it; from the preset when absent.")
    required: bool = Field(
        default=True, description="true: a missing key stops the start; false: the provider is left out."
    )
    base_url: BaseUrl = Field(default="", description="Its API, to which /chat/completions is added.")
    api_key: SecretText | None = Field(
        default=None, description="${VAR}, ${VAR:-default}, or `none`; from the preset's variable when absent."
    )
    api_key_file: Text | None = Field(default=None, description="A file that holds the key.")
    credentials: tuple[CredentialSettings, ...] = Field(
        default=(), description="Several keys; breakers and quotas are kept for each."
    )
    dialects: Annotated[tuple[Dialect, ...], Field(min_length=1)] | None = Field(
        default=None, description="Routes that it serves as they are; from the preset or the kind when absent."
    )
    litellm_provider: Name | None = Field(
        default=None, description="Its name in litellm; absent: its models' names begin with it."
    )
    params: Params = Field(default={}, repr=False, description="Further arguments for litellm (docs/providers.md).")
    timeouts: TimeoutSettings = Field(default=TimeoutSettings(), description="How long we wait for it.")
    network: NetworkSettings = Field(default=NetworkSettings(), description="How we reach it.")
    repair: RepairSettings = Field(
        default=RepairSettings(), description="What is put right where its replies are translated (docs/dialects.md)."
    )
    script: ScriptSettings | None = Field(default=None, description="How the kind `scripted` answers.")
