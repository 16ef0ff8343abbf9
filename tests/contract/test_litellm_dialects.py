"""What litellm makes of two dialects on the wire, Gemini's and Bedrock's, and what stays ours beneath it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import msgspec
import pytest

from router.adapters.upstreams.error_body import ErrorReader
from router.adapters.upstreams.litellm_bridge import DROPPED_HEADER, LitellmBridge
from router.adapters.upstreams.litellm_reply import BUFFER_BYTES_MAX
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.dispatch.failure import FailureKind, verdict_of
from router.domain.faults import Fault
from router.domain.stream import Event, EventKind, ReplyMode
from router.domain.usage import TokenUsage
from router.ports.upstream import UpstreamRequest
from tests.support import fake_upstream, litellm_calls, phrasings
from tests.support import provider_wires as wires
from tests.support.fake_upstream import Cut, FakeUpstream, Reply, Step
from tests.support.litellm_calls import AWS_SECRET, GEMINI_KEY, bridge, real, to_bedrock, to_gemini
from tests.support.phrasings import Said
from tests.support.upstream_calls import MS, TIMEOUTS, ask, content, drain, failure_of, read_to_failure, reads_failure
from tests.support.waiting import turn

pytestmark = pytest.mark.slow

To = Callable[[FakeUpstream], LitellmBridge]
both = pytest.mark.parametrize("to", [to_gemini, to_bedrock])
HEALTHY = {to_gemini: wires.gemini, to_bedrock: wires.bedrock}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(params=[litellm_calls.real, litellm_calls.roundabout], ids=["direct", "acompletion"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemini is asked both ways, and all that is said here of one holds for the other."""
    monkeypatch.setattr(litellm_calls, "real", request.param)


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(handler=wires.gemini) as upstream:
        yield upstream


def usage_of(events: list[Event], mode: ReplyMode) -> TokenUsage:
    meter = ChatMeter(wants_usage=True)
    meter.take(events)
    assert meter.finished
    assert meter.usage is not None
    return meter.usage


@both
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_text_and_usage_come_through(fake: FakeUpstream, to: To, mode: ReplyMode) -> None:
    fake.handler = HEALTHY[to]
    upstream = to(fake)
    events = await drain(await upstream.open(ask(mode)))
    await upstream.close()

    if mode is ReplyMode.STREAM:
        said = content(events)
        assert 1 == len({json.loads(event.raw[6:])["id"] for event in events[:-1]})
    else:
        message = json.loads(events[0].raw)["choices"][0]["message"]
        said = message["content"]
    assert wires.text(60) == said
    usage = usage_of(events, mode)
    assert (wires.INPUT, wires.CACHED, 60) == (usage.input, usage.cached_input, usage.output)
    assert (wires.THOUGHTS if to is to_gemini else 0) == usage.reasoning
    assert b'"cost"' not in b"".join(event.raw for event in events)


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_azure_goes_through_openais_library_and_still_over_our_wire(fake: FakeUpstream, mode: ReplyMode) -> None:
    fake.handler = fake_upstream.answer
    upstream = bridge("azure", library=real(), base_url=fake.url, params={"api_version": "2025-04-01"}, key="azure-key")
    live = await upstream.open(ask(mode))
    usage = usage_of(await drain(live), mode)
    fake.handler = lambda _request: Reply(before_head=(Cut.CLOSE,))
    failure = await failure_of(upstream, ask(mode))
    await upstream.close()

    assert 60 == usage.output
    assert (FailureKind.RESET, 2) == (failure.kind, len(fake.requests))
    assert "/openai/deployments/m/chat/completions?api-version=2025-04-01" == fake.requests[0].target
    assert "azure-key" == fake.requests[0].headers["api-key"]


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_gemini_stops_at_content_it_does_not_say(fake: FakeUpstream, mode: ReplyMode) -> None:
    blocked = wires.gemini_says([], finish="SAFETY")
    stream = wires.gemini_stream(wires.gemini_event(blocked))
    fake.script(stream if mode is ReplyMode.STREAM else Reply(steps=(json.dumps(blocked).encode(),)))
    upstream = to_gemini(fake)
    events = await drain(await upstream.open(ask(mode)))
    await upstream.close()

    assert b'"finish_reason":"content_filter"' in b"".join(event.raw for event in events)


BLOCKED = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 10}}


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_prompt_that_gemini_will_not_read_has_an_end(fake: FakeUpstream, mode: ReplyMode) -> None:
    stream = wires.gemini_stream(wires.gemini_event(BLOCKED))
    fake.script(stream if mode is ReplyMode.STREAM else Reply(steps=(json.dumps(BLOCKED).encode(),)))
    upstream = to_gemini(fake)
    events = await drain(await upstream.open(ask(mode)))
    await upstream.close()

    assert b'"finish_reason":"content_filter"' in b"".join(event.raw for event in events)


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_gemini_calls_tools(fake: FakeUpstream, mode: ReplyMode) -> None:
    call = {"functionCall": {"name": "look", "args": {"at": 1}}, "thoughtSignature": "c2lnbmVk"}
    whole = wires.gemini_says([call], finish="STOP")
    stream = wires.gemini_stream(wires.gemini_event(whole))
    fake.script(stream if mode is ReplyMode.STREAM else Reply(steps=(json.dumps(whole).encode(),)))
    upstream = to_gemini(fake)
    events = await drain(await upstream.open(ask(mode, tools=[TOOL])))
    await upstream.close()

    tool_call = tool_call_of(events, mode)
    assert {"name": "look", "arguments": '{"at": 1}'} == tool_call["function"]
    assert {"thought_signature": "c2lnbmVk"} == tool_call["provider_specific_fields"]
    assert "look" == fake.requests[0].json["tools"][0]["function_declarations"][0]["name"]  # type: ignore[index]


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_bedrock_calls_tools(fake: FakeUpstream, mode: ReplyMode) -> None:
    use = {"toolUseId": "t1", "name": "look"}
    whole = wires.bedrock_whole([{"toolUse": {**use, "input": {"at": 1}}}], "tool_use")
    stream = wires.bedrock_stream(
        wires.bedrock_frame("messageStart", {"role": "assistant"}),
        wires.bedrock_frame("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}),
        wires.bedrock_frame("contentBlockDelta", wires.bedrock_delta({"toolUse": {"input": '{"at": 1}'}})),
        *wires.bedrock_ending("tool_use"),
    )
    fake.script(stream if mode is ReplyMode.STREAM else Reply(steps=(json.dumps(whole).encode(),)))
    upstream = to_bedrock(fake)
    request = ask(mode, tools=[TOOL])
    deployment = replace(request.deployment, upstream_model="anthropic.claude-3-5-sonnet-20240620-v1:0")
    request = UpstreamRequest(deployment=deployment, body=request.body, mode=mode)
    events = await drain(await upstream.open(request))
    await upstream.close()

    tool_call = tool_call_of(events, mode)
    assert ("t1", "look") == (tool_call["id"], tool_call["function"]["name"])
    assert {"at": 1} == json.loads(tool_call["function"]["arguments"])
    assert "look" == fake.requests[0].json["toolConfig"]["tools"][0]["toolSpec"]["name"]  # type: ignore[index,call-overload]


def tool_call_of(events: list[Event], mode: ReplyMode) -> dict[str, dict[str, str]]:
    """Put a tool call together as a client does, and see that the reply ends with one."""
    if mode is ReplyMode.UNARY:
        choice = json.loads(events[0].raw)["choices"][0]
        assert ("tool_calls", "") == (choice["finish_reason"], choice["message"]["content"] or "")
        (call,) = choice["message"]["tool_calls"]
        return call
    chunks = [json.loads(event.raw[6:]) for event in events if event.kind is EventKind.CHUNK]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert ["tool_calls"] == [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    pieces = [piece for choice in choices for piece in choice["delta"].get("tool_calls") or ()]
    arguments = "".join(piece["function"].get("arguments") or "" for piece in pieces)
    return {**pieces[0], "function": {"name": pieces[0]["function"]["name"], "arguments": arguments}}


async def test_thoughts_are_kept(fake: FakeUpstream) -> None:
    parts = [{"text": "hm", "thought": True}, {"text": "yes", "thoughtSignature": "c2ln"}]
    fake.script(Reply(steps=(json.dumps(wires.gemini_says(parts, finish="STOP")).encode(),)))
    upstream = to_gemini(fake)
    events = await drain(await upstream.open(ask(ReplyMode.UNARY)))
    await upstream.close()

    message = json.loads(events[0].raw)["choices"][0]["message"]
    assert ("hm", "yes") == (message["reasoning_content"], message["content"])
    assert ["c2ln"] == message["provider_specific_fields"]["thought_signatures"]


async def test_gemini_gets_our_key_and_our_headers_in_its_own_form(fake: FakeUpstream) -> None:
    upstream = to_gemini(fake)
    request = ask(ReplyMode.UNARY, temperature=0.5, max_tokens=7)
    headers = ((b"x-request-id", b"r1"), (b"traceparent", b"00-1"))
    await drain(await upstream.open(UpstreamRequest(**{**fields(request), "headers": headers})))  # type: ignore[arg-type]
    await upstream.close()

    (seen,) = fake.requests
    assert "/v1beta/models/m:generateContent" == seen.target.partition("?")[0]
    assert (GEMINI_KEY, "r1", "00-1") == tuple(
        seen.headers[name] for name in ("x-goog-api-key", "x-request-id", "traceparent")
    )
    assert "identity" == seen.headers["accept-encoding"]
    assert {"temperature": 0.5, "max_output_tokens": 7} == seen.json["generationConfig"]


def fields(request: UpstreamRequest) -> dict[str, object]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_nothing_that_is_meant_for_litellm_goes_on_to_the_provider(fake: FakeUpstream, mode: ReplyMode) -> None:
    fake.handler = lambda _request: Reply(status=400)
    azure = bridge("azure", library=real(), base_url=fake.url, params={"api_version": "2025-04-01"}, key="azure-key")
    for upstream in (to_gemini(fake), to_bedrock(fake), azure):
        await failure_of(upstream, ask(mode))
        await upstream.close()

    gemini, bedrock, azures = ({name for name, value in seen.json.items() if value != {}} for seen in fake.requests)
    assert {"contents", "generationConfig"} == gemini
    assert {"temperature": 1.0} == fake.requests[0].json["generationConfig"]  # litellm writes down Gemini's default
    assert {"messages"} == bedrock - {"inferenceConfig", "system"}
    assert {"messages", "model"} == azures - {"stream", "stream_options"}


async def test_bedrock_is_signed_with_the_operators_keys(fake: FakeUpstream) -> None:
    fake.handler = wires.bedrock
    upstream = to_bedrock(fake)
    await drain(await upstream.open(ask(ReplyMode.UNARY)))
    await upstream.close()

    (seen,) = fake.requests
    assert "/model/m/converse" == seen.target
    assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-east-1/bedrock/aws4_request" in seen.headers["authorization"]
    assert AWS_SECRET not in str(seen.headers)


@both
@pytest.mark.parametrize("mode", list(ReplyMode))
@pytest.mark.parametrize("cut", list(Cut))
async def test_a_broken_connection_is_not_tried_again(fake: FakeUpstream, to: To, mode: ReplyMode, cut: Cut) -> None:
    """litellm's own client would send the request a second time."""
    fake.handler = lambda _request: Reply(before_head=(cut,))
    upstream = to(fake)
    failure = await failure_of(upstream, ask(mode))
    await upstream.close()

    assert FailureKind.RESET is failure.kind
    assert 1 == len(fake.requests)


async def test_nobody_listening_is_told_as_such(fake: FakeUpstream) -> None:
    upstream = to_gemini(fake)
    fake._server.close()
    failure = await failure_of(upstream, ask(ReplyMode.UNARY))
    await upstream.close()

    assert FailureKind.CONNECT is failure.kind


async def test_a_redirect_is_not_followed(fake: FakeUpstream) -> None:
    fake.handler = lambda _request: Reply(status=307, headers=(("location", f"{fake.url}/elsewhere"),))
    upstream = to_gemini(fake)
    failure = await failure_of(upstream, ask(ReplyMode.UNARY))
    await upstream.close()

    assert (FailureKind.STATUS, 307, 1) == (failure.kind, failure.status, len(fake.requests))


@both
async def test_abort_closes_the_providers_connection(fake: FakeUpstream, to: To) -> None:
    silence = asyncio.Event()
    fake.handler = lambda _request: Reply(before_head=(silence,))
    upstream = to(fake)
    live = await upstream.open(ask(ReplyMode.STREAM))
    seen = await fake.received(1)
    live.abort()
    async with asyncio.timeout(1):
        await seen.closed.wait()
    await upstream.close()

    assert FailureKind.ABORTED is (await reads_failure(live)).kind


async def test_abort_in_the_middle_closes_it_too(fake: FakeUpstream) -> None:
    silence = asyncio.Event()
    fake.script(wires.gemini_stream(wires.gemini_event(wires.gemini_says([{"text": "a"}])), silence))
    upstream = to_gemini(fake)
    live = await upstream.open(ask(ReplyMode.STREAM))
    assert "a" == content(await live.read())
    live.abort()
    async with asyncio.timeout(1):
        await fake.requests[0].closed.wait()
    await upstream.close()


async def test_abort_before_anything_was_sent_sends_nothing(fake: FakeUpstream) -> None:
    upstream = to_gemini(fake)
    live = await upstream.open(ask(ReplyMode.STREAM))
    live.abort()
    await upstream.close()

    assert [] == fake.requests


SAID = wires.gemini_event(wires.gemini_says([{"text": "Hel"}]))
DELTA = wires.bedrock_frame("contentBlockDelta", wires.bedrock_delta({"text": "Hel"}))


@pytest.mark.parametrize(
    ("to", "reply"), [(to_gemini, wires.gemini_stream(SAID)), (to_bedrock, wires.bedrock_stream(DELTA))]
)
async def test_a_stream_without_a_finish_is_cut_whatever_litellm_makes_of_it(
    fake: FakeUpstream, to: To, reply: Reply
) -> None:
    fake.script(reply)
    upstream = to(fake)
    live = await upstream.open(ask(ReplyMode.STREAM))
    events, failure = await read_to_failure(live)
    await upstream.close()

    assert "Hel" == content(events)
    assert b"usage" not in b"".join(event.raw for event in events)
    assert not [event for event in events if b'"finish_reason":"' in event.raw]
    assert FailureKind.CUT is failure.kind


@pytest.mark.parametrize("cut", list(Cut))
async def test_a_stream_that_breaks_off_is_cut(fake: FakeUpstream, cut: Step) -> None:
    fake.script(wires.gemini_stream(SAID, cut))
    upstream = to_gemini(fake)
    _, failure = await read_to_failure(await upstream.open(ask(ReplyMode.STREAM)))
    await upstream.close()

    assert FailureKind.CUT is failure.kind


OVERLOADED = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    ("to", "reply", "status"),
    [
        (to_gemini, wires.gemini_stream(SAID, wires.gemini_event(OVERLOADED)), 503),
        (
            to_bedrock,
            wires.bedrock_stream(
                DELTA, wires.bedrock_frame("throttlingException", {"message": "Too many"}, message="exception")
            ),
            429,
        ),
    ],
)
async def test_an_error_inside_a_stream_is_a_failure(fake: FakeUpstream, to: To, reply: Reply, status: int) -> None:
    fake.script(reply)
    upstream = to(fake)
    events, failure = await read_to_failure(await upstream.open(ask(ReplyMode.STREAM)))
    await upstream.close()

    assert "Hel" == content(events)
    assert (FailureKind.ERROR_EVENT, status) == (failure.kind, failure.status)
    assert "litellm" not in failure.message


@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_page_instead_of_a_reply_is_malformed_or_cut(fake: FakeUpstream, mode: ReplyMode) -> None:
    fake.script(Reply(steps=(b"<html>",), headers=(("content-type", "text/html"),)))
    upstream = to_gemini(fake)
    failure = await failure_of(upstream, ask(mode))
    await upstream.close()

    assert (FailureKind.CUT if mode is ReplyMode.STREAM else FailureKind.MALFORMED) is failure.kind


async def test_a_member_that_the_dialect_lacks_is_named_and_nothing_is_sent(fake: FakeUpstream) -> None:
    upstream = to_gemini(fake)
    failure = await failure_of(upstream, ask(ReplyMode.UNARY, logit_bias={"1": 2}, x_future=1))
    await upstream.close()

    assert ("unsupported_parameter", "logit_bias", 400) == (failure.code, failure.param, failure.status)
    assert "`logit_bias`, `x_future` cannot be expressed for gemini/m" in failure.message
    assert [] == fake.requests


@pytest.mark.parametrize("of_the_caller", [False, True])
async def test_the_operator_or_the_caller_may_have_such_members_dropped(
    fake: FakeUpstream, of_the_caller: bool
) -> None:
    upstream = to_gemini(fake, drop_params="false" if of_the_caller else "true")
    asked = ask(ReplyMode.UNARY, logit_bias={"1": 2}, x_future=1)
    live = await upstream.open(msgspec.structs.replace(asked, drop_params=of_the_caller))
    await drain(live)
    await upstream.close()

    assert b"logit_bias, others" == dict(live.headers)[DROPPED_HEADER]
    assert {"contents", "generationConfig"} >= set(fake.requests[0].json)
    assert b"logit" not in fake.requests[0].body


@pytest.mark.parametrize(
    ("to", "status", "headers", "body", "fault", "retry_after_ms"),
    [
        (to_gemini, 429, (), json.dumps({"error": {"code": 429, "message": "Resource has been exhausted", "status":
            "RESOURCE_EXHAUSTED", "details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "28.5s"}]}}),
         Fault.UPSTREAM_RATE_LIMITED, 28_500),
        (to_gemini, 400, (), json.dumps({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
            "The input token count (1400000) exceeds the maximum number of tokens allowed (1048576)."}}),
         Fault.CONTEXT_LENGTH_EXCEEDED, None),
        (to_gemini, 400, (), json.dumps({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
            "API key not valid. Please pass a valid API key."}}), Fault.UPSTREAM_CREDENTIALS, None),
        (to_bedrock, 429, (("x-amzn-errortype", "ThrottlingException:http://internal"), ("retry-after", "3")),
         '{"message":"Too many tokens, please wait before trying again."}', Fault.UPSTREAM_RATE_LIMITED, 3_000),
        (to_bedrock, 400, (("x-amzn-errortype", "ValidationException:http://internal"),),
         '{"message":"The model returned the following errors: Input is too long for requested model."}',
         Fault.CONTEXT_LENGTH_EXCEEDED, None),
        (to_bedrock, 403, (("x-amzn-errortype", "AccessDeniedException"),),
         '{"message":"You don\'t have access to the model with the specified model ID."}',
         Fault.UPSTREAM_REJECTED, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_a_refusal_is_read_from_the_wire(
    fake: FakeUpstream, to: To, status: int, headers: tuple[tuple[str, str], ...], body: str, fault: Fault,
    retry_after_ms: int | None, mode: ReplyMode,
) -> None:  # fmt: skip
    fake.script(wires.refusal(status, body, headers))
    upstream = to(fake)
    failure = await failure_of(upstream, ask(mode))
    await upstream.close()

    assert (FailureKind.STATUS, status) == (failure.kind, failure.status)
    assert (fault, retry_after_ms) == (verdict_of(failure).fault, failure.retry_after_ms)
    assert "itellm" not in failure.message
    assert 1 == len(fake.requests)


RECORDED = [
    said
    for said in (
        *phrasings.TOO_LONG,
        *phrasings.QUOTA,
        *phrasings.RATE,
        *phrasings.LARGE_FOR_THE_ACCOUNT,
        *phrasings.REFUSED,
        *phrasings.BAD_CREDENTIAL,
        *phrasings.NO_MODEL,
        *phrasings.WRONG,
    )
    if said.who.startswith(("Gemini", "Bedrock"))
]


@pytest.mark.parametrize("said", RECORDED, ids=lambda said: said.who)
@pytest.mark.parametrize("mode", list(ReplyMode))
async def test_what_was_recorded_of_a_provider_means_the_same_through_litellm(
    fake: FakeUpstream, said: Said, mode: ReplyMode
) -> None:
    headers = [(name.decode(), value.decode()) for name, value in said.headers]
    fake.script(wires.refusal(said.status, said.body, headers))
    upstream = (to_gemini if said.who.startswith("Gemini") else to_bedrock)(fake)
    failure = await failure_of(upstream, ask(mode))
    await upstream.close()

    assert ErrorReader("fake", ()).from_status(said.status, said.headers, said.body.encode(), 0) == failure


async def test_a_provider_that_repeats_our_key_is_not_repeated(fake: FakeUpstream) -> None:
    fake.script(wires.refusal(400, json.dumps({"error": {"message": f"bad {GEMINI_KEY}", "code": 400}})))
    upstream = to_gemini(fake)
    failure = await failure_of(upstream, ask(ReplyMode.UNARY))
    await upstream.close()

    assert "bad [redacted]" == failure.message


async def test_what_litellm_cannot_send_is_the_callers_and_says_nothing_of_its_content(fake: FakeUpstream) -> None:
    upstream = to_gemini(fake)
    part = {"type": "image_url", "image_url": {"url": "data:secret-canary"}}
    failure = await failure_of(upstream, ask(ReplyMode.UNARY, messages=[{"role": "user", "content": [part]}]))
    await upstream.close()

    assert (FailureKind.STATUS, 400, []) == (failure.kind, failure.status, fake.requests)
    assert "canary" not in failure.message


async def test_a_slow_reader_holds_litellm_back(fake: FakeUpstream) -> None:
    event = wires.gemini_event(wires.gemini_says([{"text": "x" * 20_000}]))
    fake.script(wires.gemini_stream(*[event] * 40, wires.gemini_event(wires.gemini_says([], finish="STOP"))))
    upstream = to_gemini(fake)
    live = await upstream.open(ask(ReplyMode.STREAM))
    first = await live.read()
    await fake.requests[0].done.wait()
    for _ in range(100):
        await turn()
    assert live._size < BUFFER_BYTES_MAX + 25_000
    events = first + await drain(live)
    await upstream.close()

    assert 40 * 20_000 == len(content(events))


async def test_nothing_is_kept_of_calls_that_are_over(fake: FakeUpstream) -> None:
    upstream = to_gemini(fake)
    for _ in range(3):
        await drain(await upstream.open(ask(ReplyMode.STREAM)))
    await turn()

    assert not upstream._replies
    assert 1 == fake.connections_opened
    await upstream.close()


async def test_the_callers_own_time_counts_from_the_first(fake: FakeUpstream) -> None:
    silence = asyncio.Event()
    fake.handler = lambda _request: Reply(before_head=(silence,))
    upstream = to_gemini(fake, timeouts=replace(TIMEOUTS, stream_first_event_ns=5_000 * MS))
    failure = await failure_of(upstream, ask(ReplyMode.STREAM, total_ns=50 * MS))
    await upstream.close()

    assert FailureKind.TOTAL_TIMEOUT is failure.kind
