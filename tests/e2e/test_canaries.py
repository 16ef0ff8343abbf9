"""No secret and no content leaves the path of its call: not by replies, logs, the ledger or metrics."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml

from tests.support import fake_upstream as fake
from tests.support.fake_upstream import Cut, FakeUpstream, Reply, Request
from tests.support.process import Served, finished, served
from tests.support.running import chat, config_for, http_client
from tests.support.wire import CHAT, exchange, head

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PROVIDER_KEY = "sk-canary-provider-5f1c9e"
USER_KEY = "sk-canary-user-77ab03"
ADMIN_KEY = "sk-canary-admin-e09d42"
REVOKED_KEY = "sk-canary-revoked-b1d6"
UNKNOWN_KEY = "sk-canary-unknown-90c7"
HEADER_SECRET = "canary-header-4c2e81"
KEYS = (PROVIDER_KEY, USER_KEY, ADMIN_KEY, REVOKED_KEY, UNKNOWN_KEY, HEADER_SECRET)

PROMPT = "canary-prompt-the-patient-is-ill"
TOOL = "canary-tool-launch-codes"
IMAGE = "data:image/png;base64,canaryimageAAAA"
OUTPUT = "canary-output-take-two-pills"
CALLED = "canary-args-dose"
CONTENT = (PROMPT, TOOL, IMAGE, OUTPUT, CALLED)


@dataclass(slots=True)
class Evidence:
    """All that came out of a router that was treated badly at level DEBUG."""

    replies: list[tuple[str, httpx.Response]] = field(default_factory=list)
    raw: bytes = b""
    metrics: str = ""
    calls: str = ""
    out: str = ""
    err: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


def echo(request: Request) -> str:
    """What a careless provider writes into its errors: our credential, and the prompt."""
    sent = f"{request.headers['authorization']} {request.headers['x-auth-token']}"
    return f"bad request: {sent} said {request.body.decode()}"


def failing(status: int) -> fake.Handler:
    return lambda request: fake.error(status, echo(request), code=PROVIDER_KEY, param=PROVIDER_KEY, type=PROVIDER_KEY)


def plain_error(request: Request) -> Reply:
    return Reply(status=502, headers=(("content-type", "text/plain"),), steps=(echo(request)[:150].encode(),))


def error_in_success(request: Request) -> Reply:
    return Reply(steps=(json.dumps({"error": {"message": echo(request)}}).encode(),))


def error_event(request: Request) -> Reply:
    return fake.event_stream(fake.sse({"error": {"message": echo(request)}}))


def broken(*last: bytes | Cut) -> fake.Handler:
    def reply(request: Request) -> Reply:
        return fake.event_stream(fake.chunk(request, {"content": OUTPUT}), *last)

    return reply


def late_error(request: Request) -> Reply:
    error = fake.sse({"error": {"message": echo(request)}})
    return fake.event_stream(fake.chunk(request, {"content": OUTPUT}), error)


def good(request: Request) -> Reply:
    """Content and a tool call, whole or streamed."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "dose", "arguments": CALLED}}
    message = {"role": "assistant", "content": OUTPUT, "tool_calls": [call]}
    if request.json.get("stream"):
        choice = {"index": 0, "delta": message, "finish_reason": "tool_calls"}
        return fake.event_stream(fake.sse({"choices": [choice]}), b"data: [DONE]\n\n")
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "model": "fake-model"}
    return Reply(steps=(json.dumps(whole).encode(),))


BAD = {
    **{f"status {status}": failing(status) for status in (400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529)},
    "plain text": plain_error,
    "an error under 200": error_in_success,
    "an error event": error_event,
    "an error event after content": late_error,
    "rubbish after content": broken(b"data: {" + OUTPUT.encode() + b"\n\n"),
    "cut after content": broken(Cut.CLOSE),
    "reset after content": broken(Cut.RESET),
    "no HTTP": lambda request: fake.raw(echo(request).encode() + b"\r\n\r\n", Cut.CLOSE),
    "a page": lambda request: Reply(status=500, headers=(("x-key", PROVIDER_KEY),), steps=(b"<html>" + request.body,)),
}


def request_body(**members: object) -> dict[str, object]:
    """A request with a canary wherever content stands."""
    image = {"type": "image_url", "image_url": {"url": IMAGE}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": TOOL}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": PROMPT}, image]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": TOOL},
    ]
    return chat(messages=messages, metadata={"note": PROMPT}, user=PROMPT, **members)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def evidence(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Evidence]:
    folder = tmp_path_factory.mktemp("canaries")
    async with FakeUpstream(handler=good) as upstream:
        config = config_for(
            upstream,
            logging={"level": "debug"},
            keys=[
                {"name": "user", "key": USER_KEY, "models": ["small"]},
                {"name": "revoked", "key": REVOKED_KEY, "models": ["*"], "revoked": True},
                {"name": "admin", "key": ADMIN_KEY, "permissions": ["admin"]},
            ],
        )
        providers = config["providers"]
        assert isinstance(providers, list)
        providers[0] |= {"api_key": PROVIDER_KEY}
        providers[0]["network"] |= {"headers": {"x-auth-token": HEADER_SECRET}}
        file = folder / "checkrein.yaml"
        file.write_text(yaml.safe_dump(config | {"store": {"url": "sqlite:///./ledger.db"}}))
        found = Evidence()
        async with served(folder, "--config", str(file)) as router:
            await mistreat(router, upstream, found)
            file.write_text(file.read_text().replace("small", "[broken"))
            await router.said("reload refused")
        found.out, found.err = router.out, router.err
        found.files = {path.name: path.read_bytes() for path in sorted(folder.glob("ledger.db*"))}
    yield found


async def mistreat(router: Served, upstream: FakeUpstream, found: Evidence) -> None:
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with http_client(router.url) as client:
        for name, key, body in requests():
            # What the provider said the last time must not keep this one from it.
            await client.post("/admin/v1/breakers/reset", json={"target": "fake/fake-model"}, headers=admin)
            if name in BAD:
                upstream.script(BAD[name])
            reply = await client.post(CHAT, json=body, headers={"authorization": f"Bearer {key}"})
            found.replies.append((name, reply))
        words = PROMPT.encode()
        malformed = (b"{" + words, b'{"model":["' + words + b'"],"messages":[]}', b"\xff" + words)
        for content in malformed:
            headers = {"x-api-key": USER_KEY, "content-type": "application/json"}
            found.replies.append(("malformed", await client.post(CHAT, content=content, headers=headers)))
        found.raw = await exchange(router.http_port, head("POST", CHAT, key=USER_KEY) + b"\x00" + PROMPT.encode())
        found.raw += await exchange(router.http_port, b"POST /" + USER_KEY.encode() + b" rubbish\r\n\r\n")
        calls = [reply.headers["x-checkrein-call"] for _, reply in found.replies if "x-checkrein-call" in reply.headers]
        for call in calls:
            found.calls += (await client.get(f"/checkrein/v1/calls/{call}", headers=admin)).text
        found.metrics = (await client.get(f"{router.ops_url}/metrics")).text


def requests() -> Iterator[tuple[str, str, dict[str, object]]]:
    for stream in (False, True):
        yield "good", USER_KEY, request_body(stream=stream)
        for name in BAD:
            yield name, USER_KEY, request_body(stream=stream)
        yield "unknown", UNKNOWN_KEY, request_body(stream=stream)
        yield "revoked", REVOKED_KEY, request_body(stream=stream)
        yield "no such model", USER_KEY, request_body(stream=stream) | {"model": "none"}
        yield "foreign fields", USER_KEY, request_body(stream=stream, api_key=UNKNOWN_KEY)


def hits(text: str | bytes, canaries: tuple[str, ...]) -> list[str]:
    """Return the canaries that are in `text`, also with their first half cut off."""
    data = text.encode() if isinstance(text, str) else text
    return [canary for canary in canaries if canary.encode() in data or canary[-12:].encode() in data]


async def test_no_key_is_in_any_reply(evidence: Evidence) -> None:
    """T11a: whatever the provider repeats: status, headers and body of every answer are clean."""
    assert 50 < len(evidence.replies)
    for name, reply in evidence.replies:
        assert [] == hits(reply.content, KEYS), name
        assert [] == hits(str(reply.headers.raw), KEYS), name
    assert [] == hits(evidence.raw, KEYS)
    assert evidence.raw.startswith(b"HTTP/1.1 400")


async def test_the_content_did_reach_its_caller(evidence: Evidence) -> None:
    """T11a: the canaries were alive: the caller got its output, and the words of a provider's 400."""
    replies = {name: reply for name, reply in evidence.replies if reply.request.content.count(b'"stream":true') == 0}

    assert [OUTPUT, CALLED] == hits(replies["good"].content, CONTENT)
    assert [PROMPT, TOOL, IMAGE] == hits(replies["status 400"].content, CONTENT)
    assert "[redacted]" in replies["status 400"].text


async def test_no_failure_looked_like_a_success(evidence: Evidence) -> None:
    """T11a: all of this was really refused or broken, so the paths that could leak were walked."""
    for name, reply in evidence.replies:
        told = reply.status_code != 200 or reply.text.rpartition("data: ")[2].startswith('{"error":')
        assert (name == "good") != told, (name, reply.text)


async def test_no_key_and_no_content_is_in_the_logs(evidence: Evidence) -> None:
    """T32: at level DEBUG, calls, rejections and a refused reload included."""
    assert "call_settled" in evidence.out
    assert "reload refused" in evidence.err
    assert [] == hits(evidence.out, KEYS + CONTENT)
    assert [] == hits(evidence.err, KEYS + CONTENT)


async def test_no_key_and_no_content_is_in_the_ledger(evidence: Evidence) -> None:
    """T32: not a byte of them in its files, nor in what administrators see of its calls."""
    assert "ledger.db" in evidence.files
    assert b"fake-model" in b"".join(evidence.files.values())
    for name, data in evidence.files.items():
        assert [] == hits(data, KEYS + CONTENT), name
    assert '"upstream_status":529' in evidence.calls
    assert [] == hits(evidence.calls, KEYS + CONTENT)


async def test_no_key_and_no_content_is_in_the_metrics(evidence: Evidence) -> None:
    """T32: labels are closed sets."""
    assert "checkrein_calls_total" in evidence.metrics
    assert [] == hits(evidence.metrics, KEYS + CONTENT)


async def test_no_key_is_in_a_message_about_the_configuration(tmp_path: Path) -> None:
    """T11a: a file that cannot be used is told about without its secrets."""
    (tmp_path / "checkrein.yaml").write_text(
        f"version: 1\nproviders: [{{name: a, kind: openai_compatible, api_key: {PROVIDER_KEY}, base: x}}]\n"
        f"keys: [{{name: k, key: {USER_KEY}, models: small, colour: {ADMIN_KEY}}}]\n"
    )
    told = await finished(tmp_path, "config", "check")

    assert 2 == told.status
    assert [] == hits(told.out + told.err, KEYS)
