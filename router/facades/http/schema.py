"""The shapes of our own JSON resources, for replies and for OpenAPI. Inference bodies are not modelled: they pass."""

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from router.domain.ids import CallId, format_call_id
from router.domain.instants import NS_PER_MS
from router.ports.ledger import CallRecord

Members = dict[str, object]
"""Those of a JSON object that is shown as it is stored."""


class ModelView(BaseModel):
    """A model that the key may use: the first four members are OpenAI's, the others what Anthropic's clients expect."""

    id: str
    object: str = "model"
    created: int
    owned_by: str
    type: str = "model"
    display_name: str
    created_at: str
    """RFC 3339."""
    lifecycle: str = "active"


class ModelList(BaseModel):
    """All of them, whatever page was asked for."""

    object: str = "list"
    data: list[ModelView]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class AttemptView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    number: int
    deployment: str
    provider: str
    upstream_model: str
    started_at_ms: int
    duration_ms: float
    first_token_ms: float | None
    fault: str | None
    upstream_status: int | None
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int | None


class CallView(BaseModel):
    """One call as the ledger holds it. Times are Unix milliseconds, spans milliseconds, money nano-USD (1e-9)."""

    id: str
    object: str = "call"
    request_id: str
    key_id: str
    organization: str | None
    team: str | None
    user: str | None
    workflow_id: str | None
    parent_call_id: str | None
    agent: str | None
    tags: str | None
    route: str | None
    stream: bool | None
    asked_model: str
    served_deployment: str | None
    served_model: str | None
    started_at_ms: int
    duration_ms: float | None
    first_token_ms: float | None
    outcome: str = Field(description="`open` until the call is settled.")
    fault: str | None
    input_tokens: int = Field(description="Includes cached tokens.")
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int = Field(description="Includes reasoning tokens.")
    reasoning_tokens: int
    usage_estimated: bool
    cost_nano_usd: int | None = Field(description="Null: no price is known.")
    price_version: str | None
    priority: str | None = Field(description="Its class; null: it is open, or was refused before it had one.")
    substituted: str | None = Field(description="`asked->served;reason`, where another model served.")
    decision: Members | None = Field(
        description="Why it went where it went, for `checkrein explain`; null: there was no choice."
    )
    attempts: list[AttemptView]


def view_call(record: CallRecord) -> CallView:
    return CallView(
        id=format_call_id(CallId(record.id)),
        request_id=record.request_id,
        key_id=record.key_id,
        organization=record.organization,
        team=record.team,
        user=record.user,
        workflow_id=record.workflow_id,
        parent_call_id=record.parent_call_id,
        agent=record.agent,
        tags=record.tags,
        route=record.route,
        stream=record.stream,
        asked_model=record.asked_model,
        served_deployment=record.served_deployment,
        served_model=record.served_model,
        started_at_ms=record.started_ns // NS_PER_MS,
        duration_ms=_ms(record.duration_ns),
        first_token_ms=_ms(record.first_token_ns),
        outcome=record.outcome or "open",
        fault=record.fault,
        input_tokens=record.input_tokens,
        cached_input_tokens=record.cached_input_tokens,
        cache_write_tokens=record.cache_write_tokens,
        output_tokens=record.output_tokens,
        reasoning_tokens=record.reasoning_tokens,
        usage_estimated=record.usage_estimated,
        cost_nano_usd=record.cost_nano_usd,
        price_version=record.price_version,
        priority=record.priority,
        substituted=record.substituted,
        decision=None if record.decision is None else msgspec.json.decode(record.decision),
        attempts=[
            AttemptView(
                number=row.number,
                deployment=row.deployment,
                provider=row.provider,
                upstream_model=row.upstream_model,
                started_at_ms=row.started_ns // NS_PER_MS,
                duration_ms=row.duration_ns / NS_PER_MS,
                first_token_ms=_ms(row.first_token_ns),
                fault=row.fault,
                upstream_status=row.upstream_status,
                input_tokens=row.usage.input,
                output_tokens=row.usage.output,
                cost_nano_usd=row.cost_nano_usd,
            )
            for row in record.attempts
        ],
    )


def _ms(span_ns: int | None) -> float | None:
    return None if span_ns is None else span_ns / NS_PER_MS
