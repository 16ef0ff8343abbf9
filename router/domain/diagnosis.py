"""Judge what was found of a deployment, and say what to do about it; a provider's own words are never repeated."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from router.domain.catalog import Deployment
from router.domain.dispatch.failure import Failure, FailureKind, Park, verdict_of
from router.domain.faults import Fault
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.money import NanoUsd, format_usd
from router.domain.price_changes import figures_of
from router.domain.pricing import PriceCard, Rates
from router.domain.usage import TokenUsage

_DAY_NS: Final = 86_400 * NS_PER_S
EXPIRY_NS_WARN: Final = 14 * _DAY_NS
"""A certificate that is good for less is told of."""
_ADDRESSES_SHOWN: Final = 4
_CODE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}", re.IGNORECASE)
"""A code that a provider may have chosen; anything else may be a part of its text."""
_TEXTS: Final = (FailureKind.STATUS, FailureKind.ERROR_EVENT)
"""Failures whose message is the provider's."""


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    level: Level
    says: str
    fix: str = ""
    """What to do, in words; empty where nothing is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    subject: str
    issuer: str
    ends_ns: int
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far one gets to a provider without asking it anything."""

    addresses: tuple[str, ...] = ()
    """Empty: its host has none, and `trouble` says why."""
    certificate: Certificate | None = None
    tls: bool = False
    trouble: str | None = None
    """Why there is no connection; None: there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one call of one token brought."""

    usage: TokenUsage
    first_token_ns: int
    cost: NanoUsd | None
    """None: it has no price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that was found of a deployment with one of its credentials."""

    target: str
    provider: str
    model: str
    """The model's name at the provider."""
    checks: tuple[Check, ...]
    answer: Answer | None = None

    @property
    def level(self) -> Level:
        return worst(check.level for check in self.checks)


def worst(levels: Iterable[Level]) -> Level:
    return max(levels, key=tuple(Level).index, default=Level.OK)


def check_facts(deployment: Deployment) -> tuple[Check, Check]:
    """Judge what is known without asking anybody: the price and the context window."""
    card, window = deployment.price, deployment.context_window
    if card is None:
        fix = (
            "give the deployment a price or price_as: under USD budgets its calls are refused, and cost is not counted"
        )
        price = Check(name="price", level=Level.WARN, says="unknown", fix=fix)
    else:
        price = Check(name="price", level=Level.OK, says=f"{', '.join(_rates_of(card))} ({card.version})")
    if window is None:
        fix = "give the deployment a context_window: prompts that are too long are sent, and refused there"
        return price, Check(name="window", level=Level.WARN, says="unknown", fix=fix)
    return price, Check(name="window", level=Level.OK, says=f"{window} tokens")


def _rates_of(card: PriceCard) -> Iterator[str]:
    if card.charges_tokens or card.units is None:
        yield f"{_usd(card.base.input)} in, {_usd(card.base.output)} out per million tokens"
    if card.units is not None:
        figures = figures_of(PriceCard(version=card.version, base=_NO_RATES, units=card.units))
        yield from (f"{_usd(price)} per {name}" for name, price in figures.items() if price)


_NO_RATES: Final = Rates(input=0, cached_input=0, cache_write=0, output=0)


def check_reach(reach: Reach, now_ns: int) -> tuple[Check, ...]:
    """Judge the way to a provider, up to its certificate."""
    if not reach.addresses:
        fix = "correct the host of base_url, or look at this machine's DNS"
        return (Check(name="dns", level=Level.FAIL, says=reach.trouble or "no address", fix=fix),)
    more = len(reach.addresses) - _ADDRESSES_SHOWN
    shown = ", ".join(reach.addresses[:_ADDRESSES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    dns, name = Check(name="dns", level=Level.OK, says=shown), "tls" if reach.tls else "tcp"
    if reach.trouble is not None:
        fix = "correct base_url, or look at the firewall and whether the provider runs"
        if "certificate" in reach.trouble:
            fix = "renew the provider's certificate, or name its authority in network.ca_file"
        return dns, Check(name=name, level=Level.FAIL, says=reach.trouble, fix=fix)
    if reach.certificate is None:
        return dns, Check(name=name, level=Level.OK, says="connected")
    return dns, _check_certificate(reach.certificate, now_ns)


def _check_certificate(certificate: Certificate, now_ns: int) -> Check:
    days = (certificate.ends_ns - now_ns) // _DAY_NS
    says = f"{certificate.subject}, {days} days left, issued by {certificate.issuer}"
    if certificate.ends_ns - now_ns < EXPIRY_NS_WARN:
        return Check(name="tls", level=Level.WARN, says=says, fix="have the certificate renewed")
    return Check(name="tls", level=Level.OK, says=says)


def check_answer(answer: Answer) -> Check:
    """Tell of a call that went well."""
    usage = answer.usage
    cost = "cost unknown" if answer.cost is None else f"{_usd(answer.cost)}"
    counted = ", counted by us" if usage.estimated else ""
    first_ms = answer.first_token_ns / NS_PER_MS
    says = f"first token after {first_ms:.0f} ms, {usage.input} in, {usage.output} out{counted}, {cost}"
    return Check(name="call", level=Level.OK, says=says)


def check_failure(failure: Failure, deployment: Deployment) -> Check:
    """Judge a call that failed: by what it means for others, which only a full house does not."""
    verdict = verdict_of(failure)
    level = Level.WARN if verdict.fault is Fault.UPSTREAM_RATE_LIMITED else Level.FAIL
    return Check(name="call", level=level, says=_words(failure), fix=_fix(failure, deployment))


def _words(failure: Failure) -> str:
    if failure.kind not in _TEXTS:
        return failure.message
    codes = [code for code in (failure.code, failure.type) if code and _CODE.fullmatch(code)]
    status = "answered with an error" if failure.status is None else f"answered {failure.status}"
    return f"{status} ({codes[0]})" if codes else status


def _fix(failure: Failure, deployment: Deployment) -> str:
    verdict = verdict_of(failure)
    said = f"{failure.param} {failure.message}"
    if "max_completion_tokens" in said and deployment.max_tokens_field is None:
        return "write max_tokens_field: max_completion_tokens at the deployment"
    if verdict.park is Park.MODEL:
        return f"correct the model: the provider does not serve {deployment.upstream_model} to this key"
    if failure.status == _NOT_FOUND:
        return "correct base_url, most end in /v1, or the model"
    return _FIXES.get(verdict.fault, "look at what the provider expects of a plain chat request")


def _usd(amount: int) -> str:
    return f"${format_usd(NanoUsd(amount))}"


_NOT_FOUND: Final = 404
_FIXES: Final = {
    Fault.UPSTREAM_CREDENTIALS: "correct the key: the provider does not take it",
    Fault.UPSTREAM_QUOTA: "add credit or raise the limit of the account at the provider",
    Fault.UPSTREAM_RATE_LIMITED: "the key is good and its rate used up: look again later",
    Fault.TIMEOUT: "look again when the provider is less busy, and at timeouts",
    Fault.UPSTREAM_ERROR: "look at the provider's state: it is out of reach, or fails",
}
