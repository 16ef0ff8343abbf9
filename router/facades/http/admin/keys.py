"""Serve `/admin/v1/keys`: decode, ask the control plane, encode. A secret is in the reply that makes it, once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, JsonValue

from router.admin.keys import AUDIT_ROWS, OVERLAP_DEFAULT, PAGE_KEYS, Issued, KeyAdmin, KeyFacts
from router.domain.faults import Fault, refuse
from router.domain.instants import parse_duration_ns
from router.domain.principal import Principal
from router.facades.http.admin.resource import (
    ERRORS,
    NEXT,
    ChangeView,
    components_of,
    described_body,
    ms,
    read_change,
    view_change,
)

_NO_STORE: Final = "no-store"
_SECRET_MEMBERS: Final = ("key", "key_file", "key_sha256")
_SETTINGS: Final = "KeySettings"


class KeyView(BaseModel):
    """A key. Times are Unix milliseconds."""

    object: str = "key"
    name: str
    id: str | None = Field(description="The public handle in front of its secrets; null for keys of the file.")
    source: str = Field(description="`store`, or `file`: read-only here.")
    state: str = Field(description="`active`, `expired`, `revoked`; `broken`: what is stored is no key's settings.")
    created_at_ms: int | None
    updated_at_ms: int | None
    revision: int | None = Field(description="The store's revision that changed it last.")
    secrets_until_ms: list[int | None] = Field(
        description="For each secret that works now, newest first: until when; null is as long as the key."
    )
    settings: dict[str, JsonValue] = Field(description="What was said; what was not is at its default.")


class KeyList(BaseModel):
    object: str = "list"
    data: list[KeyView]
    next: str | None = Field(description=NEXT)


class IssuedKeyView(KeyView):
    secret: str = Field(description="What clients send. It is shown this once.")


class LimitView(BaseModel):
    scope: str
    limit: str
    value: str
    set_by: str = Field(description="File and line, `store`, the profile, or `default`.")
    observed: bool = Field(description="It counts and tells, and refuses nothing.")


class KeyDetailView(KeyView):
    limits: list[LimitView] = Field(description="All that it must keep to, its tenants' limits included.")


class RotateBody(BaseModel):
    """How long the secrets before the new one work."""

    overlap: str = Field(default=OVERLAP_DEFAULT, description="0s to 90d.", examples=["24h", "0s"])


class ChangeList(BaseModel):
    object: str = "list"
    data: list[ChangeView]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDesk:
    """What the routes stand on: the service, and the JSON Schema of a key's settings for the documentation."""

    keys: KeyAdmin
    schema: Mapping[str, object] = field(default_factory=dict)

    def schemas(self) -> dict[str, object]:
        """Return the components of the OpenAPI document that the settings need."""
        return components_of(_SETTINGS, self.schema, _SECRET_MEMBERS)


def key_routes(desk: KeyDesk, principal: Callable[[Request], Principal]) -> APIRouter:
    """Build the routes. `principal` recognises the caller, before any of its body is read."""
    routes = APIRouter(prefix="/admin/v1/keys", tags=["keys"], responses=ERRORS)
    keys = desk.keys
    Caller = Annotated[Principal, Depends(principal)]  # noqa: N806 - a type

    @routes.get("", summary="List keys, of the store and of the file.")
    async def list_keys(caller: Caller, after: str | None = None, limit: int = PAGE_KEYS) -> KeyList:
        page = await keys.list(caller, after=after, limit=limit)
        return KeyList(data=[KeyView(**_view(key)) for key in page.keys], next=page.after)

    @routes.post(
        "",
        status_code=201,
        summary="Make a key; its secret is in this reply only.",
        openapi_extra=described_body({"$ref": f"#/components/schemas/{_SETTINGS}"}),
    )
    async def create_key(caller: Caller, request: Request, response: Response) -> IssuedKeyView:
        keys.require_admin(caller)
        return _issued(await keys.create(caller, await read_change(request)), response)

    @routes.get("/{key}", summary="Show a key and all that it must keep to, with where each limit was set.")
    async def show_key(key: str, caller: Caller) -> KeyDetailView:
        facts, limits = await keys.show(caller, key)
        rows = [
            LimitView(scope=one.scope, limit=one.limit, value=one.value, set_by=one.set_by, observed=one.observed)
            for one in limits
        ]
        return KeyDetailView(**_view(facts), limits=rows)

    @routes.patch(
        "/{key}",
        summary="Change settings by a JSON merge patch; null sets a member back to its default.",
        openapi_extra=described_body({"type": "object", "description": f"Members of {_SETTINGS}."}),
    )
    async def update_key(key: str, caller: Caller, request: Request) -> KeyView:
        keys.require_admin(caller)
        return KeyView(**_view(await keys.update(caller, key, await read_change(request))))

    @routes.post(
        "/{key}/rotate",
        summary="Give a key a new secret; those before it work for `overlap` more.",
        openapi_extra=described_body(RotateBody.model_json_schema(), required=False),
    )
    async def rotate_key(key: str, caller: Caller, request: Request, response: Response) -> IssuedKeyView:
        keys.require_admin(caller)
        overlap_ns = _overlap_ns(await read_change(request))
        return _issued(await keys.rotate(caller, key, overlap_ns=overlap_ns), response)

    @routes.post("/{key}/revoke", summary="Refuse a key from now on, for good. What it is being served is finished.")
    async def revoke_key(key: str, caller: Caller) -> KeyView:
        return KeyView(**_view(await keys.revoke(caller, key)))

    @routes.get("/{key}/changes", summary="List who changed a key, how and when, newest first.")
    async def list_changes(key: str, caller: Caller, limit: int = AUDIT_ROWS) -> ChangeList:
        return ChangeList(data=[ChangeView(**view_change(row)) for row in await keys.history(caller, key, limit=limit)])

    return routes


def _overlap_ns(body: bytes) -> int:
    try:
        members = msgspec.json.decode(body or b"{}", type=dict[str, str])
    except (msgspec.DecodeError, RecursionError):
        raise refuse(Fault.INVALID_REQUEST, 'Send {"overlap": "24h"}, or nothing.', param="overlap") from None
    unknown = members.keys() - {"overlap"}
    if unknown:
        raise refuse(Fault.INVALID_REQUEST, "A rotation takes `overlap` alone.", param=min(unknown))
    try:
        return parse_duration_ns(members.get("overlap", OVERLAP_DEFAULT))
    except ValueError:
        fix = "Write a number and one of s, m, h, d."
        raise refuse(Fault.INVALID_REQUEST, f"`overlap` is no duration. {fix}", param="overlap") from None


def _view(key: KeyFacts) -> dict[str, object]:
    return {
        "name": key.name,
        "id": key.public_id,
        "source": key.source.value,
        "state": key.state.value,
        "created_at_ms": ms(key.created_ns),
        "updated_at_ms": ms(key.updated_ns),
        "revision": key.revision,
        "secrets_until_ms": [ms(until_ns) for until_ns in key.secrets_until_ns],
        "settings": msgspec.json.decode(key.settings_json),
    }


def _issued(issued: Issued, response: Response) -> IssuedKeyView:
    response.headers["cache-control"] = _NO_STORE
    return IssuedKeyView(**_view(issued.key), secret=issued.secret.reveal())
