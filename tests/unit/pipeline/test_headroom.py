"""Room is what a deployment's own rates and its provider's last word leave for what a call is likely to take."""

from dataclasses import replace

from router.domain.catalog import Deployment, Model
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.governance.rate import RateLimit, Unit, costs_of
from router.domain.ids import DeploymentId, ModelName
from router.pipeline.flight import Flight
from router.pipeline.headroom import Headroom, likely_costs
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import SECOND, FedStream, deployment
from tests.support.pipeline import Rig

TOKENS = RateLimit(id="t", scope_kind="deployment", scope_value="a", unit=Unit.TOKENS, limit=60, period_ns=60 * SECOND)
COSTS = costs_of(requests=1, input_tokens=5, output_tokens=5)


def place(name: str, *limits: RateLimit) -> Deployment:
    return replace(deployment(), id=DeploymentId(name), rate_limits=limits)


def model(*deployments: Deployment) -> Model:
    return Model(name=ModelName("m"), deployments=deployments)


def tell(rig: Rig, at: Deployment, remaining: bytes) -> None:
    said = ((b"x-ratelimit-remaining-tokens", remaining), (b"x-ratelimit-reset-tokens", b"30s"))
    asked = begun_attempt(at=at)
    asked.flight = Flight(FedStream(said), ChatMeter(wants_usage=False))
    rig.pipeline.upstream_limits.learn(asked)


def test_there_is_nothing_to_ask_before_there_is_a_limit() -> None:
    rig = Rig()
    room = Headroom(rig.pipeline.gate, rig.pipeline.upstream_limits)
    before = room.matters(model(place("a")))
    tell(rig, place("other"), b"9")

    assert (False, True) == (before, room.matters(model(place("a"))))
    assert Headroom(Rig().pipeline.gate, Rig().pipeline.upstream_limits).matters(model(place("a"), place("b", TOKENS)))


def test_the_longer_of_both_waits_counts() -> None:
    rig = Rig()
    room, now, at = Headroom(rig.pipeline.gate, rig.pipeline.upstream_limits), rig.clock.monotonic, place("a", TOKENS)
    waits = [room.wait_ns(at, COSTS, now)]
    rig.pipeline.gate.rates.charge((TOKENS,), costs_of(requests=1, input_tokens=58, output_tokens=0), now)
    waits.append(room.wait_ns(at, COSTS, now))
    tell(rig, at, b"9")
    waits.append(room.wait_ns(at, COSTS, now))
    tell(rig, at, b"10")
    waits.append(room.wait_ns(at, COSTS, now))

    assert [0, 8 * SECOND, 30 * SECOND, 8 * SECOND] == waits


def test_a_call_that_is_larger_than_a_rate_is_left_to_the_gate() -> None:
    rig = Rig()
    room = Headroom(rig.pipeline.gate, rig.pipeline.upstream_limits)

    assert 0 == room.wait_ns(place("a", TOKENS), costs_of(requests=1, input_tokens=61, output_tokens=0), 0)


def test_what_is_sent_counts_where_something_was_said() -> None:
    rig = Rig()
    room, now = Headroom(rig.pipeline.gate, rig.pipeline.upstream_limits), rig.clock.monotonic
    request = rig.call('{"model":"small","messages":[{"role":"user","content":"hi"}],"max_tokens":7,"n":2}').request
    tell(rig, place("a"), b"50")
    for name in "ab":
        room.sent(request, place(name))
    room.sent(request, place("a"))

    costs = likely_costs(request)
    assert (1, 14, costs.input_tokens + 14) == (costs.requests, costs.output_tokens, costs.tokens)
    assert 0 < costs.input_tokens < 20
    assert (30 * SECOND, 0) == tuple(room.wait_ns(place(name), costs, now) for name in "ab")


def test_a_reply_without_a_maximum_may_be_short() -> None:
    assert 0 == likely_costs(Rig().call('{"model":"small","messages":[]}').request).output_tokens
