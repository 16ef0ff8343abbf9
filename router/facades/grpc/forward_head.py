"""Read how a forwarded request begins, and make of it what an HTTP server would hand to its application."""

import re
from typing import Final
from urllib.parse import unquote

from checkrein.v1.passthrough_pb2 import ForwardRequest

from router.domain.faults import Fault, RouterError, refuse
from router.domain.instants import NS_PER_S
from router.domain.metadata import SPELLINGS, Metadata
from router.facades.grpc.inbound import Pairs, read_inbound
from router.facades.http.asgi import Scope
from router.facades.http.voice import BY_PATH

_IDEA_OF: Final = {name: idea for idea, names in SPELLINGS.items() for name in names}
_CREDENTIAL: Final = SPELLINGS["credential"]
_TIMEOUT: Final = SPELLINGS["timeout"]
_REQUEST_ID: Final = SPELLINGS["request-id"]
_LENGTH: Final = b"content-length"

_TARGET: Final = re.compile(r"/[!-~]*")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_ENDS_LINE: Final = re.compile(rb"[\r\n\0]")
_LENGTH_DIGITS_MAX: Final = 18

_BESIDE: Final = ("/v1/", "/models/", "/responses/", "/messages/")
"""Of what is not hot: how the paths of inference begin. The rest is ours alone, and has services of its own."""
_MODELS: Final = "/models"
_NO_ROUTE: Final = "/"
"""A path that has no route, in whose place HTTP is asked for one that is not forwarded."""


def read_head(head: ForwardRequest.Head, metadata: Pairs, time_remaining_s: float | None) -> Pairs:
    """Return the headers of a request: its own, what the call's metadata say beside them, and its deadline.

    Where both say the same the head's count, but for the credential, which is the call's. Raises `RouterError`.
    """
    if not head.method:
        raise _wrong("`head.method` is empty. Send one, such as POST.", "head.method")
    if not _TARGET.fullmatch(head.target):
        raise _wrong("`head.target` must be a path and perhaps a query, as `/v1/messages`.", "head.target")
    headers: Pairs = []
    for one in head.headers:
        if not _NAME.fullmatch(one.name):
            raise _wrong("A name in `head.headers` is no header's in lower case.", "head.headers")
        name = one.name.encode()
        if name in _CREDENTIAL:
            raise _wrong(f"Send `{one.name}` in the call's metadata, not in `head.headers`.", "head.headers")
        if _ENDS_LINE.search(one.value):
            raise _wrong(f"The value of `{one.name}` in `head.headers` has an end of a line.", "head.headers")
        headers.append((name, one.value.strip(b" \t")))
    said = {_IDEA_OF.get(name) for name, _ in headers}
    beside = [pair for pair in metadata if pair[0] in _IDEA_OF and _IDEA_OF[pair[0]] not in said]
    return _in_time([*headers, *beside], time_remaining_s)


def size_of(head: ForwardRequest.Head) -> int:
    """Count the bytes that HTTP's bound of headers is for."""
    return len(head.target) + sum([len(one.name) + len(one.value) for one in head.headers])


def length_of(headers: Pairs) -> int | None:
    """Return how long the body is said to be. Raises `RouterError`."""
    lengths = {value for name, value in headers if name == _LENGTH}
    if not lengths:
        return None
    (length, *others) = lengths
    if others or not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
        raise _wrong("`content-length` in `head.headers` is not one number.", "head.headers")
    return int(length)


def wrong_length() -> RouterError:
    """The refusal of a body that is not as long as its head says."""
    return _wrong("The body is not as long as `content-length` in `head.headers` says.", "head.headers")


def named(headers: Pairs, request_id: str) -> Pairs:
    """Have a request say the id that it is known by."""
    return [*(pair for pair in headers if pair[0] not in _REQUEST_ID), (_REQUEST_ID[0], request_id.encode())]


def scope_of(head: ForwardRequest.Head, headers: Pairs, *, local: bool) -> Scope:
    """Make the scope of a request. `local`: its peer is on this machine."""
    target, _, query = head.target.partition("?")
    path = unquote(target)
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": head.method,
        "scheme": "http",
        "path": path if is_forwarded(path) else _NO_ROUTE,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": None if local else ("-", 0),
        "server": None,
    }


def is_forwarded(path: str) -> bool:
    """Tell whether a path is one of inference."""
    return path in BY_PATH or path == _MODELS or path.startswith(_BESIDE)


def _in_time(headers: Pairs, time_remaining_s: float | None) -> Pairs:
    """Say the call's deadline as HTTP says it. What cannot be read is left to HTTP to refuse."""
    metadata = read_inbound(headers, None, time_remaining_s)
    if time_remaining_s is None or not isinstance(metadata, Metadata) or metadata.timeout_ns is None:
        return headers
    whole, rest = divmod(metadata.timeout_ns, NS_PER_S)
    return [*(pair for pair in headers if pair[0] not in _TIMEOUT), (_TIMEOUT[0], b"%d.%09d" % (whole, rest))]


def _wrong(message: str, param: str) -> RouterError:
    return refuse(Fault.INVALID_REQUEST, message, param=param)
