"""What is left at providers is told for deployments in force, and added up over credentials for scrapes."""

from dataclasses import replace

from router.domain.dialects.chat.meter import ChatMeter
from router.domain.governance.rate import Unit
from router.domain.governance.upstream_limits import UpstreamState
from router.domain.ids import DeploymentId
from router.pipeline.flight import Flight
from router.pipeline.limit_states import LiveLimits
from router.pipeline.upstream_limit_book import Payer, UpstreamLimitBook
from tests.support.attempts import attempt as begun_attempt
from tests.support.fakes import SECOND, FakeClock, FedStream, deployment
from tests.support.pipeline import Rig

HEADERS = (
    (b"anthropic-ratelimit-requests-limit", b"50"),
    (b"anthropic-ratelimit-requests-remaining", b"9"),
    (b"anthropic-ratelimit-input-tokens-limit", b"600"),
    (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
    (b"anthropic-ratelimit-input-tokens-reset", b"60"),
    (b"anthropic-ratelimit-output-tokens-limit", b"600"),
    (b"retry-after", b"20"),
)


class TwoCredentials(UpstreamLimitBook):
    """As if the one deployment were paid for by two."""

    def states(self) -> list[tuple[Payer, UpstreamState]]:
        return [(Payer(payer.deployment, name), state) for payer, state in super().states() for name in ("b", "a")]


def heard(book: UpstreamLimitBook, name: str = "up/model") -> None:
    attempt = begun_attempt(at=replace(deployment(), id=DeploymentId(name)))
    attempt.flight = Flight(FedStream(HEADERS), ChatMeter(wants_usage=False))
    book.learn(attempt)


def limits_over(rig: Rig, book: UpstreamLimitBook) -> LiveLimits:
    return LiveLimits(gate=rig.pipeline.gate, book=book, snapshots=rig.snapshots, clock=rig.clock)


def test_what_providers_said_is_carried_on_to_now() -> None:
    rig = Rig()
    book = rig.pipeline.upstream_limits
    heard(book)
    heard(book, "removed/by-a-reload")
    rig.clock.pass_ns(10 * SECOND)
    (upstream,) = limits_over(rig, book).upstreams()

    assert ("up/model", "", "up", 10 * SECOND) == (
        upstream.deployment,
        upstream.credential,
        upstream.provider,
        upstream.blocked_ns,
    )
    assert [
        (Unit.REQUESTS, 50, 9, None, 10 * SECOND),
        (Unit.INPUT_TOKENS, 600, 100, 50 * SECOND, 10 * SECOND),
        (Unit.OUTPUT_TOKENS, 600, None, None, 10 * SECOND),
    ] == list(upstream.left)


def test_scrapes_see_known_units_over_all_credentials() -> None:
    rig = Rig()
    book = TwoCredentials(FakeClock())
    heard(book)
    limits = limits_over(rig, book)

    assert ["a", "b"] == [upstream.credential for upstream in limits.upstreams()]
    assert {("up/model", "requests"): 18, ("up/model", "input_tokens"): 0} == dict(limits.remaining())
