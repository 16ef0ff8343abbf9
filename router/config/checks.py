"""Check what only typed values can tell: keys that are missing, shared secrets, deployments that contradict.

Items are typed one by one, so that a mistake in one of them hides nothing that is wrong in another.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

from pydantic import ValidationError

from router.config.availability import find_gaps
from router.config.identity import digest_of, id_of
from router.config.problems import Problem, problem_in
from router.config.schema_models import DeploymentSettings
from router.config.schema_providers import ProviderSettings
from router.config.schema_services import WebhookSettings
from router.config.schema_tenants import KeySettings
from router.config.section import Section
from router.config.tree import KeyPath, Node, flatten, follow, select, text_of
from router.domain.secret import Secret
from router.domain.webhook import signing_key, split_url

S = TypeVar("S", bound=Section)

_MAY_DIFFER: Final = {"name": True, "tier": True, "weight": True}
"""What one deployment may be in one model and not in another."""


def check(tree: Node) -> Iterator[Problem]:
    """Find the problems of everything that is typed well; what is not is told by its validation."""
    yield from _check_providers(tree)
    yield from _check_deployments(tree)
    yield from _check_keys(tree)
    yield from _check_store(tree)
    yield from _check_webhooks(tree)


def _typed(tree: Node, pattern: str, section: type[S]) -> Iterator[tuple[KeyPath, S]]:
    for path, node in select(tree, pattern):
        try:
            yield path, section.model_validate(flatten(node))
        except ValidationError:
            continue


def _check_providers(tree: Node) -> Iterator[Problem]:
    for path, provider in _typed(tree, "providers[]", ProviderSettings):
        for below, message, fix in find_gaps(provider) if provider.required else ():
            yield problem_in(tree, (*path, *below), message, f"{fix}, or write required: false")


def _check_deployments(tree: Node) -> Iterator[Problem]:
    """One deployment may serve several models, if it is the same everywhere: its state is kept once."""
    seen: dict[str, DeploymentSettings] = {}
    for path, deployment in _typed(tree, "models[].deployments[]", DeploymentSettings):
        same = seen.setdefault(id_of(deployment), deployment)
        if same.model_dump(exclude=_MAY_DIFFER) != deployment.model_dump(exclude=_MAY_DIFFER):
            message = f"differs from an earlier deployment {id_of(deployment)}"
            yield problem_in(tree, path, message, "give one of them a `name` of its own")


def _check_keys(tree: Node) -> Iterator[Problem]:
    seen: dict[bytes, str] = {}
    for path, key in _typed(tree, "keys[]", KeySettings):
        digest = digest_of(key)
        if digest is not None and seen.setdefault(digest, key.name) != key.name:
            message = f"has the same secret as the key {seen[digest]}"
            yield problem_in(tree, path, message, "give each key its own")


def _check_store(tree: Node) -> Iterator[Problem]:
    path = ("store", "url")
    if (text_of(follow(tree, path)[1]) or "").startswith("postgres"):
        fix = "use sqlite:///./checkrein.db until then"
        yield problem_in(tree, path, "PostgreSQL comes in a later release", fix)


def _check_webhooks(tree: Node) -> Iterator[Problem]:
    seen: set[tuple[Secret, Secret | None]] = set()
    for path, webhook in _typed(tree, "webhooks[]", WebhookSettings):
        try:
            split_url(webhook.url.reveal())
        except ValueError as exc:
            fix = "write http:// or https://, a host and a path, percent-encoded, without a user's name"
            yield problem_in(tree, (*path, "url"), str(exc), fix)
        try:
            signing_key(webhook.secret.reveal() if webhook.secret is not None else "none")
        except ValueError as exc:
            yield problem_in(tree, (*path, "secret"), str(exc), "use whsec_ and base64, or any other text")
        if (webhook.url, webhook.secret) in seen:
            yield problem_in(tree, path, "is the same as an earlier webhook", "name the events of both in one")
        seen.add((webhook.url, webhook.secret))
