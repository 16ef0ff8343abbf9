"""Typed client of a Checkrein router over gRPC; messages are `checkrein.v1`, administration is `checkrein.admin.v1`."""

from checkrein.aio import AsyncClient, AsyncStream
from checkrein.client import Client, Stream
from checkrein.errors import CheckreinError
from checkrein.terms import Tls
from checkrein.v1.common_pb2 import CallContext

__all__ = ["AsyncClient", "AsyncStream", "CallContext", "CheckreinError", "Client", "Stream", "Tls"]
