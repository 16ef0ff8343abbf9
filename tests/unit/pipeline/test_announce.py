"""What a caller is told beside its reply is the same whichever façade says it."""

import pytest

from router.domain.catalog import Model
from router.domain.dialects.chat.meter import ChatMeter
from router.domain.faults import Fault
from router.domain.governance.output_estimate import class_of
from router.domain.governance.priority import Classed
from router.domain.governance.rate import RateLimit, Standing, Unit
from router.domain.ids import CallId, ModelName
from router.domain.planning.plan import RoutePlan
from router.domain.planning.substitution import Reason
from router.domain.settlement import Substituted
from router.pipeline.admission import Admission
from router.pipeline.announce import SAID_CHARACTERS_MAX, limit_headers, notices_of, substitution_of, visible
from router.pipeline.call import Call
from router.pipeline.flight import Flight
from tests.support.attempts import attempt
from tests.support.fakes import SECOND, FedStream
from tests.support.pipeline import Rig


def served(*, asked: str = "small", stands_in: Reason | None = None, says: str | None = None) -> Call:
    call = Rig().call()
    one = attempt()
    call.attempts.append(one)
    if says is not None:
        one.flight = Flight(FedStream(), ChatMeter(wants_usage=False))
        one.flight.meter.served_model = says
    at = one.deployment
    call.plan = RoutePlan(
        asked=Model(name=ModelName(asked), deployments=()),
        model=Model(name=at.model, deployments=(at,)),
        stands_in=stands_in,
        candidates=(at,),
    )
    return call


class Standings:
    """Says how any limits stand."""

    def extend(self, admission: Admission, call_id: CallId, more: int) -> bool:
        raise AssertionError("nobody asks")

    def standings(self, limits: tuple[RateLimit, ...]) -> list[Standing]:
        return [Standing(Unit.REQUESTS, 100, 99, 600_000_001), Standing(Unit.TOKENS, 1_000, 0, 60 * SECOND)]


def test_nobody_is_told_of_a_substitution_that_there_was_not() -> None:
    unplanned = served()
    unplanned.plan = None

    assert substitution_of(served()) is None
    assert substitution_of(unplanned) is None


def test_another_model_is_told_of_with_the_reason() -> None:
    assert Substituted("large", "small", "fallback") == substitution_of(served(asked="large"))
    assert Substituted("large", "small", "tag") == substitution_of(served(asked="large", stands_in=Reason.TAG))


def test_a_usual_call_has_no_notice() -> None:
    assert [] == notices_of(served())
    assert [] == notices_of(served(says="model"))
    assert [] == notices_of(served(says="model-2026-01-01"))


def test_each_notice_has_its_name() -> None:
    call = served(says="another")
    call.would_refuse += [Fault.RATE_LIMITED, Fault.BUDGET_EXHAUSTED]
    call.priority = Classed("batch", lowered=True)

    assert [
        "would_refuse=rate_limit_exceeded,budget_exceeded", "priority=batch", "upstream_model=another",
    ] == notices_of(call)  # fmt: skip


def test_a_class_that_was_not_lowered_is_no_notice() -> None:
    call = served()
    call.priority = Classed("batch")

    assert [] == notices_of(call)


def test_limits_are_told_in_openais_names_and_rounded_so_that_who_waits_so_long_is_served() -> None:
    call = served()
    assert [] == limit_headers(call)
    call.admission = Admission(Standings(), CallId(1), kind=class_of("m", "k", 1), limits=())

    assert [
        (b"x-ratelimit-limit-requests", b"100"),
        (b"x-ratelimit-remaining-requests", b"99"),
        (b"x-ratelimit-reset-requests", b"601ms"),
        (b"x-ratelimit-limit-tokens", b"1000"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"60000ms"),
    ] == limit_headers(call)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("gpt-5", "gpt-5"),
        ("a b\tc", "abc"),
        ("a\r\nx-evil: 1", "ax-evil:1"),
        ("a;b,c", "abc"),
        ("é\x7f\u2028", ""),
        ("x" * 1_000, "x" * SAID_CHARACTERS_MAX),
        ("", ""),
    ],
)
def test_somebody_elses_words_end_no_line_and_part_no_list(said: str, shown: str) -> None:
    assert shown == visible(said)
