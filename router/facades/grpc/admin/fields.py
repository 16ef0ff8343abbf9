"""Hold what the services of administrators share: fields that must be said, and what a refusal calls a field."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, TypedDict

from google.protobuf.timestamp_pb2 import Timestamp

from router.domain.faults import Fault, RouterError, refuse
from router.facades.grpc.moments import ns_of


class _Paged(Protocol):
    """A request for a page. `HasField` of what has no such field is a bug, and raises."""

    after: str
    limit: int

    def HasField(self, field_name: str) -> bool: ...  # noqa: N802 - protobuf's


class PageAsked(TypedDict, total=False):
    """What a caller said of a page; what it did not is the control plane's to say."""

    after: str
    limit: int


def page_of(request: _Paged) -> PageAsked:
    asked = PageAsked()
    if request.HasField("after"):
        asked["after"] = request.after
    if request.HasField("limit"):
        asked["limit"] = request.limit
    return asked


def said(text: str, field: str) -> str:
    """Require a text. Raises `RouterError`."""
    if not text:
        raise refuse(Fault.INVALID_REQUEST, f"`{field}` is empty. Set it.", param=field)
    return text


def json_of(text: str, field: str) -> bytes:
    """Return settings that must be there as the control plane reads them. Raises `RouterError`."""
    return said(text, field).encode()


class _Spanning(Protocol):
    """A request about what happened between two moments."""

    since: Timestamp
    until: Timestamp

    def HasField(self, field_name: str) -> bool: ...  # noqa: N802 - protobuf's


class SpanAsked(TypedDict):
    since: int | None
    until: int | None


def span_of(request: _Spanning) -> SpanAsked:
    """Return both ends, in Unix nanoseconds."""
    return SpanAsked(
        since=ns_of(request.since) if request.HasField("since") else None,
        until=ns_of(request.until) if request.HasField("until") else None,
    )


@contextmanager
def fields(names: Mapping[str | None, str]) -> Iterator[None]:
    """Name fields in refusals of a request as its message does; None: what the control plane has no name for."""
    try:
        yield
    except RouterError as exc:
        name = names.get(exc.refusal.param)
        if name is None or exc.refusal.fault not in (Fault.INVALID_REQUEST, Fault.REQUEST_TOO_LARGE):
            raise
        raise RouterError(replace(exc.refusal, param=name)) from exc
