"""What holds for every call of a client: whom it reaches and how, who calls, how long it may take."""

import ipaddress
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, TypedDict

import grpc
import grpc.aio

from checkrein.errors import Timeout
from checkrein.v1.calls_pb2_grpc import CallsServiceStub
from checkrein.v1.chat_pb2 import ChatCompletionRequest
from checkrein.v1.chat_service_pb2 import StreamChatCompletionResponse
from checkrein.v1.chat_service_pb2_grpc import ChatServiceStub
from checkrein.v1.common_pb2 import CallContext
from checkrein.v1.embeddings_pb2_grpc import EmbeddingsServiceStub
from checkrein.v1.models_pb2_grpc import ModelsServiceStub
from checkrein.v1.routing_pb2 import ExplainRouteRequest
from checkrein.v1.routing_pb2_grpc import RoutingServiceStub

MESSAGE_MAX: Final = 32 << 20
"""Bytes, as the router's `server.grpc.max_message`."""
OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    ("grpc.max_send_message_length", MESSAGE_MAX),
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    # A thought may take minutes in which nothing is said: find out that the connection broke, and keep it open.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # gRPC's own two minutes are long for a router that is back in seconds.
    ("grpc.max_reconnect_backoff_ms", 10_000),
)
LOCAL_SCHEMES: Final = ("unix:", "unix-abstract:")
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What TLS is made of, each in PEM: who is trusted (gRPC's own list if None), and our certificate with its key."""

    roots: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None


class CallOptions(TypedDict, total=False):
    """Of one call: `timeout` in seconds, infinity for none; `metadata` such as `x-request-id` and `traceparent`."""

    timeout: float | None
    metadata: Mapping[str, str] | None


class ContextOptions(CallOptions, total=False):
    """`context` is the client's with what the call sets in its place, and tags added."""

    context: CallContext | None


class Terms:
    """`tls` None means TLS but for loopback and Unix sockets, False plaintext, which is for whoever listens."""

    def __init__(
        self,
        target: str,
        *,
        api_key: str | None,
        tls: Tls | bool | None,
        timeout: float | None,
        context: CallContext | None,
        options: Sequence[tuple[str, int | str]],
    ) -> None:
        if re.match("https?:", target):
            raise ValueError(f"A target is host:port, without http: {target!r}")
        # gRPC would refuse it as well, and print it.
        if api_key is not None and not re.fullmatch("[!-~]+", api_key):
            raise ValueError("An API key is printable ASCII without spaces; this one is not.")
        local = is_local(target)
        self.target = target
        self.timeout = timeout
        self.context = context
        self.metadata: Metadata = (("authorization", f"Bearer {api_key}"),) if api_key is not None else ()
        # What goes to this machine goes to no proxy.
        agent = ("grpc.primary_user_agent", f"checkrein-client/{version('checkrein-client')}")
        self.options = [*OPTIONS, agent, *((("grpc.enable_http_proxy", 0),) if local else ()), *options]
        self.credentials: grpc.ChannelCredentials | None = None
        if tls or (tls is None and not local):
            made_of = tls if isinstance(tls, Tls) else Tls()
            self.credentials = grpc.ssl_channel_credentials(made_of.roots, made_of.key, made_of.certificate)

    def deadline(self, options: CallOptions) -> float | None:
        """Seconds from now; a call that has none left is not sent. Raises `Timeout`."""
        given = options.get("timeout")
        chosen = self.timeout if given is None else given
        # gRPC counts whole milliseconds, in which a call may well be made and billed.
        if chosen is not None and chosen <= 0:
            raise Timeout("The deadline had passed before the call.", status=grpc.StatusCode.DEADLINE_EXCEEDED)
        return None if chosen is None or math.isinf(chosen) else chosen

    def metadata_of(self, options: CallOptions) -> Metadata:
        return (*self.metadata, *(options.get("metadata") or {}).items())

    def context_of(self, options: ContextOptions) -> CallContext | None:
        given = options.get("context")
        if self.context is None or given is None:
            return given or self.context
        both = CallContext()
        both.CopyFrom(self.context)
        both.MergeFrom(given)
        return both

    def explained(self, request: ChatCompletionRequest | bytes, options: ContextOptions) -> ExplainRouteRequest:
        context = self.context_of(options)
        if isinstance(request, bytes):
            return ExplainRouteRequest(chat_json=request, context=context)
        return ExplainRouteRequest(chat=request, context=context)


class Services:
    """The stubs of what both clients call, over the channel of either."""

    def __init__(self, channel: "grpc.Channel | grpc.aio.Channel") -> None:
        self.chat = ChatServiceStub(channel)
        self.embeddings = EmbeddingsServiceStub(channel)
        self.models = ModelsServiceStub(channel)
        self.routing = RoutingServiceStub(channel)
        self.calls = CallsServiceStub(channel)


def is_local(target: str) -> bool:
    """Tell whether a target is surely on this machine."""
    if target.startswith(LOCAL_SCHEMES):
        return True
    address = re.sub("^(?:dns:|ipv4:|ipv6:)(?:///)?", "", target)
    host = re.sub(r":\d+$", "", address).strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def texts_of(message: StreamChatCompletionResponse) -> Iterator[str]:
    """What the first choice says in a message of a stream, typed or JSON."""
    for chunk in message.chunks.chunks:
        yield from (one.delta.content for one in chunk.choices if one.index == 0 and one.delta.content)
    for data in message.chunks_json.chunks:
        match _parsed(data):
            case {"choices": [{"delta": {"content": str(text)}} as choice, *_]} if text and not choice.get("index"):
                yield text


def _parsed(data: bytes) -> object:
    """What is not JSON is said by a provider, and is nobody's text."""
    try:
        parsed: object = json.loads(data)
    except ValueError:
        return None
    return parsed
