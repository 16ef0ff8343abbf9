"""Hold what the routes of administrators share: bodies, times, and how they are described."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from fastapi import Request
from pydantic import BaseModel, Field, JsonValue

from router.admin.storing import BODY_BYTES_MAX
from router.domain.instants import NS_PER_MS
from router.facades.http.body import check_body_headers, read_body
from router.ports.keys import AuditRow

REF_TEMPLATE: Final = "#/components/schemas/{model}"
NEXT: Final = "Send it as `after` for the next page; null: this is the last."
ERRORS: Final[dict[int | str, dict[str, object]]] = {
    "default": {
        "description": "Any failure, in the one error shape.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
}


class ChangeView(BaseModel):
    at_ms: int
    actor: str = Field(description="Name of the key that made the change; `checkrein`: the router itself.")
    action: str
    revision: int
    before: JsonValue = Field(description="Null: there was nothing.")
    after: JsonValue = Field(description="Null: there is nothing.")


async def read_change(request: Request) -> bytes:
    """Read the body of a change, which is small."""
    check_body_headers(request.scope["headers"], max_bytes=BODY_BYTES_MAX)
    return await read_body(request.receive, max_bytes=BODY_BYTES_MAX)


def described_body(schema: Mapping[str, object], *, required: bool = True) -> dict[str, object]:
    """Say in the document what a route reads by itself."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def components_of(name: str, schema: Mapping[str, object], without: Collection[str]) -> dict[str, object]:
    """Return a section's JSON Schema as components of the document, without members that are not taken here."""
    own = dict(schema)
    inner = own.pop("$defs", {})
    properties = own.get("properties", {})
    assert isinstance(inner, dict)
    assert isinstance(properties, dict)
    own["properties"] = {member: one for member, one in properties.items() if member not in without}
    return {**inner, name: own}


def view_change(row: AuditRow) -> dict[str, object]:
    change = row.change
    return {
        "at_ms": change.at_ns // NS_PER_MS,
        "actor": change.actor,
        "action": change.action,
        "revision": row.revision,
        "before": None if change.before is None else msgspec.json.decode(change.before),
        "after": None if change.after is None else msgspec.json.decode(change.after),
    }


def ms(instant_ns: int | None) -> int | None:
    return None if instant_ns is None else instant_ns // NS_PER_MS
