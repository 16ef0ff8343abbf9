"""Serve `KeyService`: decode, ask the control plane, encode. A secret is in the reply that makes it, once."""

import asyncio
from typing import Final

import grpc
from checkrein.admin.v1.keys_pb2 import (
    CreateKeyRequest,
    CreateKeyResponse,
    GetKeyRequest,
    GetKeyResponse,
    Key,
    KeyLimit,
    KeySecret,
    ListKeyChangesRequest,
    ListKeyChangesResponse,
    ListKeysRequest,
    ListKeysResponse,
    RevokeKeyRequest,
    RevokeKeyResponse,
    RotateKeyRequest,
    RotateKeyResponse,
    UpdateKeyRequest,
    UpdateKeyResponse,
)

from router.admin.keys import AUDIT_ROWS, OVERLAP_NS_DEFAULT, KeyAdmin, KeyFacts, KeyPage
from router.facades.grpc.admin.changes import change_of
from router.facades.grpc.admin.fields import fields, json_of, page_of, said
from router.facades.grpc.asking import Asking
from router.facades.grpc.border import Border, service
from router.facades.grpc.moments import ns_of, timestamp_of

_KEY: Final = "key"


def key_service(border: Border, keys: KeyAdmin) -> grpc.ServiceRpcHandler:
    serving = _Keys(keys)
    return service(
        "checkrein.admin.v1.KeyService",
        {
            "CreateKey": border.unary(CreateKeyRequest, serving.create),
            "GetKey": border.unary(GetKeyRequest, serving.get),
            "ListKeys": border.unary(ListKeysRequest, serving.list),
            "UpdateKey": border.unary(UpdateKeyRequest, serving.update),
            "RotateKey": border.unary(RotateKeyRequest, serving.rotate),
            "RevokeKey": border.unary(RevokeKeyRequest, serving.revoke),
            "ListKeyChanges": border.unary(ListKeyChangesRequest, serving.list_changes),
        },
    )


class _Keys:
    """Each method looks at who asks before it looks at what."""

    def __init__(self, keys: KeyAdmin) -> None:
        self._keys = keys

    async def create(self, request: CreateKeyRequest, asking: Asking) -> CreateKeyResponse:
        self._keys.require_admin(asking.principal)
        settings = json_of(request.settings_json, "settings_json")
        with fields({None: "settings_json"}):
            issued = await self._keys.create(asking.principal, settings)
        return CreateKeyResponse(key=_key(issued.key), secret=issued.secret.reveal())

    async def get(self, request: GetKeyRequest, asking: Asking) -> GetKeyResponse:
        self._keys.require_admin(asking.principal)
        facts, limits = await self._keys.show(asking.principal, said(request.key, _KEY))
        rows = [
            KeyLimit(scope=one.scope, limit=one.limit, value=one.value, set_by=one.set_by, observed=one.observed)
            for one in limits
        ]
        return GetKeyResponse(key=_key(facts), limits=rows)

    async def list(self, request: ListKeysRequest, asking: Asking) -> ListKeysResponse:
        page = await self._keys.list(asking.principal, **page_of(request))
        return await asyncio.to_thread(_keys, page)

    async def update(self, request: UpdateKeyRequest, asking: Asking) -> UpdateKeyResponse:
        self._keys.require_admin(asking.principal)
        key, patch = said(request.key, _KEY), json_of(request.patch_json, "patch_json")
        with fields({None: "patch_json"}):
            return UpdateKeyResponse(key=_key(await self._keys.update(asking.principal, key, patch)))

    async def rotate(self, request: RotateKeyRequest, asking: Asking) -> RotateKeyResponse:
        self._keys.require_admin(asking.principal)
        overlap_ns = ns_of(request.overlap) if request.HasField("overlap") else OVERLAP_NS_DEFAULT
        issued = await self._keys.rotate(asking.principal, said(request.key, _KEY), overlap_ns=overlap_ns)
        return RotateKeyResponse(key=_key(issued.key), secret=issued.secret.reveal())

    async def revoke(self, request: RevokeKeyRequest, asking: Asking) -> RevokeKeyResponse:
        self._keys.require_admin(asking.principal)
        return RevokeKeyResponse(key=_key(await self._keys.revoke(asking.principal, said(request.key, _KEY))))

    async def list_changes(self, request: ListKeyChangesRequest, asking: Asking) -> ListKeyChangesResponse:
        self._keys.require_admin(asking.principal)
        limit = request.limit if request.HasField("limit") else AUDIT_ROWS
        rows = await self._keys.history(asking.principal, said(request.key, _KEY), limit=limit)
        return ListKeyChangesResponse(changes=map(change_of, rows))


def _keys(page: KeyPage) -> ListKeysResponse:
    return ListKeysResponse(keys=map(_key, page.keys), next=page.after)


def _key(key: KeyFacts) -> Key:
    return Key(
        name=key.name,
        id=key.public_id,
        source=key.source.value,
        state=key.state.value,
        create_time=timestamp_of(key.created_ns),
        update_time=timestamp_of(key.updated_ns),
        revision=key.revision,
        secrets=[KeySecret(expire_time=timestamp_of(until_ns)) for until_ns in key.secrets_until_ns],
        settings_json=key.settings_json,
    )
