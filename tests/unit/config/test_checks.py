import hashlib

import pytest

from router.config.checks import check
from router.config.tree import Origin, Plain, grow

DEMO: Plain = {"provider": "demo", "model": "x"}


def messages(plain: Plain) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in check(grow(plain, Origin(source="f")))]


def models(*deployments: Plain) -> Plain:
    return {"models": [{"name": "a", "deployments": deployments[:1]}, {"name": "b", "deployments": deployments[1:]}]}


def test_a_required_provider_without_a_key_is_a_problem_and_an_optional_one_is_not() -> None:
    provider: dict[str, Plain] = {"name": "p", "kind": "openai_compatible", "base_url": "https://p/v1"}

    assert ["providers[0].api_key: no key"] == messages({"providers": [provider]})
    assert [] == messages({"providers": [{**provider, "required": False}]})


def test_a_mistake_in_one_provider_hides_nothing_that_another_lacks() -> None:
    wrong: Plain = {"name": "w", "kind": "no such kind"}
    lacking: Plain = {"name": "p", "kind": "openai_compatible", "base_url": "https://p/v1"}

    assert ["providers[1].api_key: no key"] == messages({"providers": [wrong, lacking]})


@pytest.mark.parametrize("change", [{}, {"tier": 2}, {"weight": 3}])
def test_one_deployment_may_serve_two_models(change: dict[str, Plain]) -> None:
    assert [] == messages(models(DEMO, {**DEMO, **change}))  # type: ignore[dict-item]


@pytest.mark.parametrize("change", [{"price": {"input": 1, "output": 1}}, {"context_window": 5}])
def test_one_deployment_with_two_descriptions_is_a_problem(change: dict[str, Plain]) -> None:
    differing: Plain = {"provider": "demo", "model": "x", **change}

    assert ["models[1].deployments[0]: differs from an earlier deployment demo/x"] == messages(models(DEMO, differing))


def test_a_name_of_its_own_makes_it_another_deployment() -> None:
    assert [] == messages(models(DEMO, {"provider": "demo", "model": "x", "name": "other", "context_window": 5}))


def test_two_keys_with_one_secret_are_a_problem_however_they_are_written() -> None:
    digest = hashlib.sha256(b"sk-12345678").hexdigest()
    keys: Plain = [{"name": "a", "key": "sk-12345678"}, {"name": "b", "key_sha256": digest}]

    assert ["keys[1]: has the same secret as the key a"] == messages({"keys": keys})


@pytest.mark.parametrize(("url", "count"), [("postgresql://h/d", 1), ("postgres://h/d", 1), ("sqlite:///./a.db", 0)])
def test_a_store_that_this_release_has_not_is_a_problem(url: str, count: int) -> None:
    assert count == len(messages({"store": {"url": url}}))


@pytest.mark.parametrize(
    ("webhook", "told"),
    [
        ({"url": "https://h:1/a?b=c", "secret": "whsec_YWJj", "events": ["budget.threshold", "loop.blocked"]}, []),
        ({"url": "http://h"}, []),
        ({"url": "h/hunter2"}, ["webhooks[0].url: is not an address of http or https"]),
        ({"url": "https://me:hunter2@h"}, ["webhooks[0].url: holds a user's name, which is not sent"]),
        ({"url": "https://h", "secret": "whsec_hunter2"}, ["webhooks[0].secret: is not base64 after whsec_"]),
        ({"url": "https://h", "secret": ""}, ["webhooks[0].secret: is empty"]),
    ],
)
def test_a_webhook_that_cannot_be_sent_is_a_problem_that_does_not_quote_it(
    webhook: dict[str, Plain], told: list[str]
) -> None:
    assert told == messages({"webhooks": [webhook]})


def test_two_webhooks_of_one_address_and_secret_are_a_problem() -> None:
    one: Plain = {"url": "https://h", "secret": "a"}
    other: Plain = {"url": "https://h", "secret": "b"}

    assert [] == messages({"webhooks": [one, other]})
    assert ["webhooks[1]: is the same as an earlier webhook"] == messages({"webhooks": [one, one]})
