"""The doctor asks each deployment for one token once the way is clear, side by side within a bound, and hangs up."""

import asyncio
from dataclasses import replace

import pytest

from router import doctor as module
from router.adapters.upstreams.http_upstream import HttpUpstream
from router.doctor import SIDE_BY_SIDE_MAX, Doctor, Tools
from router.domain.catalog import Deployment, Provider, ProviderKind
from router.domain.diagnosis import Level, Reach, Report
from router.domain.dialects.dialect import Dialect
from router.domain.ids import DeploymentId, ProviderId
from router.domain.pricing import PriceCard, Rates, UnitRates
from router.domain.stream import END_EVENT, Event, EventKind
from router.ports.upstream import Upstream
from tests.support import fake_upstream as fake
from tests.support.fake_upstream import FakeUpstream, Reply, Request
from tests.support.fakes import FakeClock, FedStream, FedUpstreams, chunk, usage_chunk
from tests.support.upstream_calls import TIMEOUTS, over

CARD = PriceCard(version="v", base=Rates(input=10**9, cached_input=10**9, cache_write=10**9, output=2 * 10**9))
DONE = b"data: [DONE]\n\n"


def provider(name: str = "fake", kind: ProviderKind = ProviderKind.OPENAI_COMPATIBLE) -> Provider:
    return Provider(id=ProviderId(name), kind=kind, timeouts=TIMEOUTS)


def deployment(name: str = "m", at: str = "fake", **more: object) -> Deployment:
    given = {"price": CARD, "context_window": 9, **more}
    return Deployment(id=DeploymentId(f"{at}/{name}"), provider=ProviderId(at), upstream_model=name, **given)  # type: ignore[arg-type]


class Ward:
    """A doctor over a fake provider, and the ways that were looked at."""

    def __init__(self, upstream: FakeUpstream, *, trouble: str | None = None) -> None:
        self.reach = Reach(addresses=("127.0.0.1",), trouble=trouble)
        self.looked: list[str] = []
        self.opened: list[HttpUpstream] = []
        self.busy_max = 0
        self.fed: Upstream | None = None
        self.upstream = upstream
        self.refusal: Exception | None = None

    async def look_around(self, provider: Provider) -> Reach:
        self.looked.append(provider.id)
        return self.reach

    async def upstream_of(self, _provider: Provider) -> Upstream:
        if self.refusal is not None:
            raise self.refusal
        if self.fed is not None:
            return self.fed
        self.opened.append(over(self.upstream))
        busy = len(self.opened) - sum(request.done.is_set() for request in self.upstream.requests)
        self.busy_max = max(self.busy_max, busy)
        return self.opened[-1]

    async def examine(
        self, *deployments: Deployment, offline: bool = False, kind: str = "openai_compatible"
    ) -> list[Report]:
        tools = Tools(clock=FakeClock(), look_around=self.look_around, upstream_of=self.upstream_of)
        return await Doctor(tools, [provider(kind=ProviderKind(kind))], offline=offline).examine(deployments)


def checks(report: Report) -> list[tuple[str, str]]:
    return [(check.name, check.level.value) for check in report.checks]


async def test_a_deployment_is_asked_for_one_token() -> None:
    async with FakeUpstream(handler=lambda request: fake.stream(request, 1)) as upstream:
        (report,) = await Ward(upstream).examine(deployment(max_tokens_field="max_completion_tokens"))
        await upstream.left(0)

    assert [("dns", "ok"), ("tcp", "ok"), ("call", "ok"), ("price", "ok"), ("window", "ok")] == checks(report)
    (request,) = upstream.requests
    sent = request.json
    assert ("m", 1, True) == (sent["model"], sent["max_completion_tokens"], sent["stream"])
    assert report.answer is not None
    assert (2, 1, False) == (report.answer.usage.input, report.answer.usage.output, report.answer.usage.estimated)
    assert 4_000 == report.answer.cost


async def test_without_a_price_the_cost_is_unknown() -> None:
    async with FakeUpstream() as upstream:
        (report,) = await Ward(upstream).examine(deployment(price=None, context_window=None))

    assert report.answer is not None
    assert report.answer.cost is None
    assert 1 == upstream.requests[0].json["max_tokens"]
    assert [("price", "warn"), ("window", "warn")] == checks(report)[-2:]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (fake.error(401, "key sk-hunter2 is wrong", code="invalid_api_key"), "answered 401 (invalid_api_key)"),
        (fake.error(404, "The model `m` does not exist", code="model_not_found"), "answered 404 (model_not_found)"),
        (fake.event_stream(fake.sse({"error": {"message": "sk-hunter2"}})), "answered with an error"),
        (
            fake.event_stream(
                fake.sse({"choices": [{"delta": {"content": "y"}}]}), fake.sse({"error": {"code": "odd"}}), DONE
            ),
            "answered with an error (odd)",
        ),
        (fake.raw(fake.Cut.RESET), "fake "),
    ],
)
async def test_a_call_that_fails_is_told_in_our_words(reply: Reply, said: str) -> None:
    async with FakeUpstream(handler=lambda _: reply) as upstream:
        (report,) = await Ward(upstream).examine(deployment())

    call = report.checks[2]
    assert ("call", Level.FAIL, None) == (call.name, call.level, report.answer)
    assert call.says.startswith(said)
    assert "hunter2" not in str(report)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([END_EVENT], "the reply ended before it began"),
        ([chunk("yes"), END_EVENT], "the reply ended before it was complete"),
        ([chunk("yes"), Event(EventKind.CHUNK, b'data: {"error":{"code":"odd"}}\n\n')], "answered with an error (odd)"),
        ([chunk("yes"), chunk("", finish="length"), usage_chunk(5, 1), END_EVENT], None),
    ],
)
async def test_a_reply_has_to_be_whole(events: list[Event], said: str | None) -> None:
    fed, stream = FedUpstreams(), FedStream()
    for event in events:
        stream.feed(event)
    fed.replies = [stream]
    async with FakeUpstream() as unasked:
        ward = Ward(unasked)
        ward.fed = fed
        (report,) = await ward.examine(deployment())

    assert stream.aborted
    assert (said is None) == (report.answer is not None)
    assert said in {None, report.checks[2].says}


async def test_nobody_is_asked_where_the_way_is_blocked() -> None:
    async with FakeUpstream() as upstream:
        ward = Ward(upstream, trouble="port 1 does not connect")
        reports = await ward.examine(deployment("a"), deployment("b"))

    assert [[("dns", "ok"), ("tcp", "fail")]] * 2 == [checks(report)[:2] for report in reports]
    assert [] == upstream.requests
    assert ["fake"] == ward.looked


async def test_offline_nobody_is_asked_anything() -> None:
    async with FakeUpstream() as upstream:
        ward = Ward(upstream)
        (report,) = await ward.examine(deployment(), offline=True)

    assert [("price", "ok"), ("window", "ok")] == checks(report)
    assert ([], [], 0) == (ward.looked, ward.opened, upstream.connections_opened)


async def test_a_scripted_provider_has_no_way_to_it() -> None:
    async with FakeUpstream() as upstream:
        ward = Ward(upstream)
        (report,) = await ward.examine(deployment(), kind="scripted")

    assert ("call", "ok") == checks(report)[0]
    assert [] == ward.looked


@pytest.mark.parametrize("refusal", [ValueError("a header is odd"), OSError("no such file")])
async def test_a_provider_that_cannot_be_asked_says_why(refusal: Exception) -> None:
    async with FakeUpstream() as upstream:
        ward = Ward(upstream)
        ward.refusal = refusal
        (report,) = await ward.examine(deployment())

    assert (Level.FAIL, str(refusal)) == (report.checks[2].level, report.checks[2].says)


async def test_a_silent_provider_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALL_NS_MAX", 50_000_000)
    never = asyncio.Event()
    async with FakeUpstream(handler=lambda _: fake.silence(never)) as upstream:
        (report,) = await Ward(upstream).examine(deployment())
        await upstream.left(0)

    assert (Level.FAIL, "fake did not finish its answer within 50ms") == (
        report.checks[2].level,
        report.checks[2].says,
    )


async def test_calls_are_made_side_by_side_within_a_bound() -> None:
    go = asyncio.Event()

    def held(request: Request) -> Reply:
        if len(upstream.requests) == SIDE_BY_SIDE_MAX:
            go.set()
        return replace(fake.stream(request, 1), before_head=(go,))

    async with FakeUpstream(handler=held) as upstream:
        ward = Ward(upstream)
        reports = await ward.examine(*(deployment(f"m{n}") for n in range(2 * SIDE_BY_SIDE_MAX)))

    assert SIDE_BY_SIDE_MAX == ward.busy_max
    assert [f"fake/m{n}" for n in range(2 * SIDE_BY_SIDE_MAX)] == [report.target for report in reports]
    assert {Level.OK} == {report.level for report in reports}


@pytest.mark.parametrize(
    "more",
    [
        {"dialects": frozenset({Dialect.IMAGES, Dialect.MODERATIONS})},
        {"price": replace(CARD, units=UnitRates(image=1))},
    ],
)
async def test_nobody_is_asked_for_what_is_paid_for_by_the_piece(more: dict[str, object]) -> None:
    async with FakeUpstream() as upstream:
        (report,) = await Ward(upstream).examine(deployment(**more))

    assert ("call", "ok") in checks(report)
    assert ([], None) == (upstream.requests, report.answer)
