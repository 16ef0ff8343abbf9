"""Make the same call over each wire and bring what its caller is told, and its row, into one form to compare."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tests.support.fake_upstream import Handler, Reply
from tests.support.grpc_calls import Told, chats
from tests.support.pool import Pool
from tests.support.running import ADMIN, KEY, RunningRouter
from tests.support.wire import Answer, post, wire

_ROW_OF_ITS_OWN: Final = ("id", "request_id", "started_at_ms", "duration_ms", "first_token_ms")
"""Members of a row that no two calls have in common."""


class Way(StrEnum):
    HTTP = "http"
    JSON = "json"
    """gRPC, with JSON."""
    TYPED = "typed"
    """gRPC, with typed messages."""


@dataclass(slots=True)
class Heard:
    """What a caller hears of one call, whichever way it came."""

    status: int = 200
    """HTTP's, which gRPC says among the details; 200 for all that fails after it has begun."""
    error: dict[str, object] | None = None
    bodies: list[object] = field(default_factory=list)
    """The reply, or each chunk, read; without the ids that the provider made for it."""
    deployment: str | None = None
    attempts: int | None = None
    substituted: str | None = None
    dropped: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    limits: dict[str, str] = field(default_factory=dict)
    retry_after: bool = False
    """Waiting helps, and it is said for how long."""
    should_retry: bool = True
    row: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    members: Mapping[str, object]
    providers: Mapping[str, Handler | Reply] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    """Of `keys_of`; each way has its own."""
    before: Mapping[str, object] | None = None
    """A call that is made first with the same key."""
    held: bool = False
    """Another call with that key is under way, of which its provider says nothing."""
    expects: Mapping[str, object] = field(default_factory=dict)
    """Attributes of `Heard`, members of the row as `row.name`: that it is the case that it says it is."""


def both(members: Mapping[str, object], **more: Any) -> dict[str, Case]:
    return {
        "whole": Case(members, **more),
        "streamed": Case({**members, "stream": True}, **more),
    }


def named(name: str, cases: Mapping[str, Case]) -> dict[str, Case]:
    return {f"{name}, {kind}": case for kind, case in cases.items()}


def key_of(name: str, way: Way) -> str:
    return f"sk-test-{name}-{way}"


def keys_of(limited: Mapping[str, Mapping[str, object]]) -> list[dict[str, object]]:
    """Return keys for a configuration: those of every test, and of each of these one for each way."""
    return [
        {"name": "test", "key": KEY, "models": ["*"]},
        {"name": "root", "key": ADMIN, "models": ["*"], "permissions": ["admin"]},
        *[
            {"models": ["*"], **members, "name": f"{name}-{way}", "key": key_of(name, way)}
            for name, members in limited.items()
            for way in Way
        ],
    ]


async def over_all(providers: Pool, case: Case) -> Heard:
    """Make a call over each wire, see that all is the same, and return what was heard."""
    heard: dict[Way, Heard] = {}
    asked: dict[Way, dict[str, int]] = {}
    for way in Way:
        fresh = providers.start_over()
        fresh.script(**case.providers)
        key = key_of(case.key, way) if case.key else KEY
        if case.before is not None:
            await over(way, fresh.router, case.before, {}, key)
        async with _held(fresh, case, key):
            heard[way] = await over(way, fresh.router, case.members, case.headers, key)
        heard[way].row.pop("key_id", None)
        asked[way] = fresh.asked

    assert heard[Way.HTTP] == heard[Way.JSON]
    assert heard[Way.HTTP] == heard[Way.TYPED]
    assert asked[Way.HTTP] == asked[Way.JSON] == asked[Way.TYPED]
    assert heard[Way.HTTP].row or heard[Way.HTTP].error, "something was compared"
    for name, wanted in case.expects.items():
        said = heard[Way.HTTP].row[name[4:]] if name.startswith("row.") else getattr(heard[Way.HTTP], name)
        assert wanted == said, name
    return heard[Way.HTTP]


@contextlib.asynccontextmanager
async def _held(providers: Pool, case: Case, key: str) -> AsyncIterator[None]:
    """Have a call under way meanwhile, if the case wants one."""
    if not case.held:
        yield
        return
    async with wire(providers.router.http_port) as caller:
        await caller.send(post(body=dict(case.members), key=key))
        (first, *_) = providers.upstreams.values()
        asked = await first.received(1)
        yield
        caller.close()
        await asked.closed.wait()
    await providers.router.idle()


async def over(
    way: Way, router: RunningRouter, members: Mapping[str, object], headers: Mapping[str, str], key: str
) -> Heard:
    """Make one call and read what came of it."""
    body = json.dumps(members, separators=(",", ":")).encode()  # as long as the typed form is when it is written
    if way is Way.HTTP:
        async with wire(router.http_port) as caller:
            await caller.send(post(*[f"{name}: {value}" for name, value in headers.items()], body=body, key=key))
            answer = await caller.answer()
        return await _with_row(_of_http(answer), router, answer.headers.get("x-checkrein-call"), way)
    async with chats(router.grpc_port, key) as chat:
        make = chat.stream if members.get("stream") else chat.create
        told = await make(body, *headers.items(), typed=way is Way.TYPED)
    call_id = told.trailers.get("x-checkrein-call")
    heard = await _with_row(_of_grpc(told), router, None if call_id is None else str(call_id), way)
    _agree(told, heard)
    return heard


def _of_http(answer: Answer) -> Heard:
    heads = answer.headers
    heard = Heard(
        status=answer.status,
        deployment=heads.get("x-checkrein-deployment"),
        attempts=int(heads["x-checkrein-attempts"]) if "x-checkrein-attempts" in heads else None,
        substituted=heads.get("x-checkrein-substituted"),
        dropped=heads["x-checkrein-dropped-params"].split(",") if "x-checkrein-dropped-params" in heads else [],
        notices=heads["x-checkrein-notice"].split("; ") if "x-checkrein-notice" in heads else [],
        limits={name: value for name, value in heads.items() if _is_limit(name)},
        retry_after="retry-after" in heads and heads.get("x-should-retry") != "false",
        should_retry=heads.get("x-should-retry") != "false",
    )
    if heads["content-type"].startswith("text/event-stream"):
        parts = [json.loads(event) for event in answer.events if event != "[DONE]"]
    else:
        parts = [json.loads(answer.body)]
    for part in parts:
        if "error" in part and set(part) == {"error"}:
            heard.error = part["error"]
        else:
            heard.bodies.append(_anonymous(part))
    return heard


def _of_grpc(told: Told) -> Heard:
    heard = Heard(
        bodies=[_anonymous(json.loads(body)) for body in told.bodies],
        limits={name: str(value) for name, value in told.trailers.items() if _is_limit(name)},
    )
    if told.served is not None:
        heard.deployment, heard.attempts = told.served.deployment, told.served.attempts
        heard.substituted = told.served.substituted if told.served.HasField("substituted") else None
        heard.dropped, heard.notices = list(told.served.dropped_params), list(told.served.notices)
    if told.code != "OK":
        heard.error = _error(told)
        heard.retry_after = "RetryInfo" in told.details
        heard.should_retry = told.info.get("should_retry") != "false"
        if told.served is None:
            heard.status = int(told.info["http_status"])
    return heard


def _error(told: Told) -> dict[str, object]:
    error: dict[str, object] = {
        "message": told.message,
        "type": told.info["type"],
        "param": told.info.get("param"),
        "code": told.info.get("code"),
    }
    known = {"http_status", "type", "param", "code", "call_id", "request_id", "should_retry", "reason", "domain"}
    if details := {name: value for name, value in told.info.items() if name not in known}:
        error["details"] = details
    return error


def _agree(told: Told, heard: Heard) -> None:
    """See that what only gRPC tells in the reply is what the row says."""
    row = heard.row
    if told.info:
        assert "checkrein" == told.info["domain"]
        assert not row or told.info["reason"] == str(row["fault"]).upper()
        assert told.info["request_id"] == told.trailers["x-request-id"]
    if told.usage is None or told.cost is None:
        assert told.code != "OK", "what ends well has a summary"
        return
    usage = (told.usage.input_tokens, told.usage.output_tokens, told.usage.estimated)
    assert (row["input_tokens"], row["output_tokens"], row["usage_estimated"]) == usage
    assert row["cost_nano_usd"] == (told.cost.total_nano_usd if told.cost.HasField("total_nano_usd") else None)
    assert row["price_version"] == (told.cost.price_version if told.cost.HasField("price_version") else None)


async def _with_row(heard: Heard, router: RunningRouter, call_id: str | None, way: Way) -> Heard:
    if call_id is not None:
        row: dict[str, Any] = await router.call(call_id)
        heard.row = {name: value for name, value in row.items() if name not in _ROW_OF_ITS_OWN}
        heard.row["attempts"] = [
            {name: value for name, value in attempt.items() if name not in _ROW_OF_ITS_OWN}
            for attempt in row["attempts"]
        ]
    if heard.error is not None and isinstance(heard.error.get("details"), dict):
        details = heard.error["details"]
        heard.error["details"] = {
            name: str(value).replace(f"-{way}", "") for name, value in details.items() if name != "resets_at"
        }
    return heard


def _is_limit(name: str) -> bool:
    return name.startswith("x-ratelimit-limit-")


def _anonymous(part: object) -> object:
    """Leave out what the provider makes anew for each call."""
    if isinstance(part, dict):
        return {name: value for name, value in part.items() if name not in {"id", "created"}}
    return part
