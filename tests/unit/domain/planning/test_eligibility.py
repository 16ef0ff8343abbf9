from collections.abc import Mapping

import pytest

from router.domain.catalog import Deployment
from router.domain.dialects.dialect import Dialect
from router.domain.governance.permits import ConcurrencyLimit
from router.domain.ids import DeploymentId, ProviderId
from router.domain.planning.eligibility import Dropped, DropReason, Sifted, free_at, sift
from router.domain.planning.needs import Needs

LIMIT = ConcurrencyLimit(id="l", scope_kind="deployment", scope_value="f", limit=1)


def deployment(name: str, window: int | None = None, *, lacks: str = "", limited: bool = False) -> Deployment:
    return Deployment(
        id=DeploymentId(name),
        provider=ProviderId("p"),
        upstream_model="m",
        context_window=window,
        lacks=frozenset(lacks.split()),
        concurrency_limits=(LIMIT,) if limited else (),
    )


def sifted(
    *deployments: Deployment,
    wants: str = "",
    tokens: int = 10,
    resting: Mapping[str, int] | None = None,
    dialect: Dialect = Dialect.CHAT,
) -> Sifted:
    return sift(
        deployments,
        Needs(
            dialect=dialect,
            capabilities=frozenset(wants.split()),
            input_tokens=tokens,
            output_tokens=None,
            tokens=tokens,
        ),
        rests_until=(resting or {}).get,  # type: ignore[arg-type]  # a target is a string
        is_full=lambda one: one.id == "full",
    )


PLAIN = deployment("plain")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (deployment("rests"), (DropReason.RESTING, 7)),
        (deployment("blind", lacks="vision json_schema tools"), (DropReason.CAPABILITY, "tools,vision")),
        (deployment("small", 9), (DropReason.CONTEXT_WINDOW, 9)),
        (deployment("full", limited=True), (DropReason.FULL, None)),
        (deployment("exact", 10), None),
        (deployment("able", lacks="json_schema"), None),
        (deployment("limited", limited=True), None),
    ],
)
def test_who_cannot_serve_the_request_now_is_dropped_with_the_reason(
    other: Deployment, reason: tuple[DropReason, object] | None
) -> None:
    found = sifted(PLAIN, other, wants="vision tools", resting={"rests": 7})

    assert [PLAIN, *([] if reason else [other])] == found.kept
    assert ([] if reason is None else [Dropped(other, *reason)]) == found.dropped  # type: ignore[arg-type]  # a detail


def test_a_prompt_that_seems_too_long_for_all_is_left_to_the_largest() -> None:
    small, large, rests = deployment("s", 5), deployment("l", 8), deployment("r", 9)
    found = sifted(small, large, rests, resting={"r": 3})

    assert [large] == found.kept
    assert [small, rests] == [one.deployment for one in found.dropped]


def test_when_nobody_is_left_the_first_that_will_be_free_is_known() -> None:
    blind = deployment("b", lacks="vision")
    found = sifted(deployment("x"), deployment("y"), blind, wants="vision", resting={"x": 9, "y": 4})

    assert ([], 4) == (found.kept, free_at(found.dropped))
    assert free_at(sifted(PLAIN).dropped) is None


def test_who_cannot_be_asked_in_a_dialect_that_leads_to_the_callers_is_dropped() -> None:
    chat = Deployment(
        id=DeploymentId("chat"), provider=ProviderId("p"), upstream_model="m", dialects=frozenset({Dialect.CHAT})
    )
    found = {one: sifted(PLAIN, chat, dialect=one).kept for one in Dialect}

    assert [PLAIN] == found[Dialect.EMBEDDINGS] == found[Dialect.COMPLETIONS]
    assert [PLAIN, chat] == found[Dialect.CHAT] == found[Dialect.MESSAGES] == found[Dialect.RESPONSES]
