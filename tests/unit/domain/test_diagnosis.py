"""What was found of a deployment is judged in words, and no word of them is the provider's."""

from dataclasses import replace

import pytest

from router.domain.catalog import Deployment
from router.domain.diagnosis import (
    Answer,
    Certificate,
    Check,
    Level,
    Reach,
    Report,
    check_answer,
    check_facts,
    check_failure,
    check_reach,
    worst,
)
from router.domain.dispatch.failure import Failure, FailureKind
from router.domain.ids import DeploymentId, ProviderId
from router.domain.money import NanoUsd
from router.domain.pricing import PriceCard, Rates, UnitRates
from router.domain.usage import TokenUsage

DEPLOYMENT = Deployment(id=DeploymentId("up/m"), provider=ProviderId("up"), upstream_model="m")
DAY = 86_400 * 10**9
NOW = 20_000 * DAY


def test_a_report_is_as_bad_as_its_worst_check() -> None:
    checks = tuple(Check(name="x", level=level, says="") for level in (Level.WARN, Level.OK))

    assert Level.WARN is Report(target="t", provider="p", model="m", checks=checks).level
    assert Level.FAIL is worst([Level.OK, Level.FAIL, Level.WARN])
    assert Level.OK is worst([])


def test_price_and_window_are_told_or_missed() -> None:
    card = PriceCard(version="v1", base=Rates(input=2 * 10**9, cached_input=1, cache_write=1, output=10**10))

    price, window = check_facts(replace(DEPLOYMENT, price=card, context_window=1_000))
    assert (Level.OK, "$2.00 in, $10.00 out per million tokens (v1)") == (price.level, price.says)
    assert (Level.OK, "1000 tokens") == (window.level, window.says)
    missed = check_facts(DEPLOYMENT)
    assert [(Level.WARN, True), (Level.WARN, True)] == [(check.level, bool(check.fix)) for check in missed]


def test_prices_by_other_units_are_told_instead_of_tokens_that_cost_nothing() -> None:
    free = Rates(input=0, cached_input=0, cache_write=0, output=0)
    card = PriceCard(version="v1", base=free, units=UnitRates(character=15 * 10**9))
    both = replace(card, base=replace(free, input=10**9))

    assert "$15.00 per million characters (v1)" == check_facts(replace(DEPLOYMENT, price=card))[0].says
    assert "$1.00 in, $0.00 out per million tokens, $15.00 per million characters (v1)" == (
        check_facts(replace(DEPLOYMENT, price=both))[0].says
    )


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (Reach(trouble="x has no address"), [("dns", "fail")]),
        (Reach(addresses=("a",)), [("dns", "ok"), ("tcp", "ok")]),
        (Reach(addresses=("a",), trouble="port 1 does not connect"), [("dns", "ok"), ("tcp", "fail")]),
        (Reach(addresses=("a",), tls=True, trouble="certificate not accepted"), [("dns", "ok"), ("tls", "fail")]),
    ],
)
def test_the_way_is_judged_as_far_as_it_goes(reach: Reach, expected: list[tuple[str, str]]) -> None:
    checks = check_reach(reach, NOW)

    assert expected == [(check.name, check.level.value) for check in checks]
    assert all(bool(check.fix) == (check.level is Level.FAIL) for check in checks)
    assert (reach.trouble or "") in {"", checks[-1].says}


@pytest.mark.parametrize(("days", "level"), [(14, Level.OK), (13, Level.WARN)])
def test_a_certificate_that_ends_soon_is_told_of(days: int, level: Level) -> None:
    certificate = Certificate(subject="up.example", issuer="Trust", ends_ns=NOW + days * DAY)

    check = check_reach(Reach(addresses=("a",), tls=True, certificate=certificate), NOW)[-1]
    assert (level, f"up.example, {days} days left, issued by Trust") == (check.level, check.says)


def test_many_addresses_are_counted() -> None:
    reach = Reach(addresses=tuple("abcdef"))

    assert "a, b, c, d and 2 more" == check_reach(reach, NOW)[0].says


def test_an_answer_is_told_with_its_cost() -> None:
    answer = Answer(usage=TokenUsage(input=3, output=1), first_token_ns=250_400_000, cost=NanoUsd(4_000))

    assert "first token after 250 ms, 3 in, 1 out, $0.000004" == check_answer(answer).says
    unsaid = replace(answer, usage=TokenUsage(input=3, output=1, estimated=True), cost=None)
    assert check_answer(unsaid).says.endswith("1 out, counted by us, cost unknown")


@pytest.mark.parametrize(
    ("failure", "level", "says", "fix"),
    [
        ({"status": 401, "code": "invalid_api_key"}, Level.FAIL, "answered 401 (invalid_api_key)", "correct the key"),
        ({"status": 429, "code": "insufficient_quota"}, Level.FAIL, "answered 429 (insufficient_quota)", "add credit"),
        ({"status": 429}, Level.WARN, "answered 429", "look again later"),
        ({"status": 404, "code": "model_not_found"}, Level.FAIL, "answered 404 (model_not_found)", "does not serve m"),
        ({"status": 404}, Level.FAIL, "answered 404", "correct base_url"),
        ({"status": 503}, Level.FAIL, "answered 503", "state"),
        ({"status": 422, "code": "a secret of sk-1"}, Level.FAIL, "answered 422", "plain chat request"),
        ({"status": 422, "code": "a", "type": "b"}, Level.FAIL, "answered 422 (a)", "plain chat request"),
        ({"kind": FailureKind.ERROR_EVENT}, Level.FAIL, "answered with an error", "state"),
    ],
)
def test_a_failure_is_told_by_what_it_means(failure: dict[str, object], level: Level, says: str, fix: str) -> None:
    found = Failure(**{"kind": FailureKind.STATUS, "message": "your key sk-hunter2", **failure})  # type: ignore[arg-type]

    check = check_failure(found, DEPLOYMENT)
    assert (level, says) == (check.level, check.says)
    assert fix in check.fix
    assert "hunter2" not in check.says + check.fix


def test_words_of_ours_are_told() -> None:
    failure = Failure(kind=FailureKind.CONNECT, message="up could not be reached (refused)")

    assert "up could not be reached (refused)" == check_failure(failure, DEPLOYMENT).says


def test_a_provider_that_wants_another_member_gets_it() -> None:
    words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    failure = Failure(kind=FailureKind.STATUS, status=400, message=words)

    assert "max_tokens_field: max_completion_tokens" in check_failure(failure, DEPLOYMENT).fix
    told = replace(DEPLOYMENT, max_tokens_field="max_completion_tokens")
    assert "max_tokens_field" not in check_failure(failure, told).fix
