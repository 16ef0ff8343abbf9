import json

import msgspec
import pytest
from msgspec import Raw

from router.domain.catalog import Model
from router.domain.faults import Fault, Refusal
from router.domain.ids import ModelName
from router.domain.planning.directives import FALLBACKS_MAX, Directives, read_directives
from tests.support.fakes import deployment, snapshot

SNAPSHOT = snapshot(direct=[Model(name=ModelName(f"m{n}"), deployments=(deployment(),)) for n in range(12)])


def read(**fields: object) -> Directives | Refusal:
    raws = msgspec.json.decode(json.dumps(fields).encode(), type=dict[str, Raw])
    return read_directives(raws, "small", SNAPSHOT)


@pytest.mark.parametrize(
    ("fields", "fallbacks", "disabled"),
    [
        ({}, None, False),
        ({"fallbacks": ["m1", "small", "m2", "m1"]}, ("m1", "m2"), False),
        ({"fallbacks": [{"model": "m1", "messages": []}, "m2"]}, ("m1", "m2"), False),
        ({"fallbacks": None, "disable_fallbacks": None}, None, False),
        ({"fallbacks": [], "disable_fallbacks": True}, (), True),
        ({"models": ["small", "m1"]}, ("m1",), False),
        ({"models": ["m2"], "fallbacks": ["m1"]}, ("m1",), False),
    ],
)
def test_every_gateways_words_are_understood(
    fields: dict[str, object], fallbacks: tuple[str, ...] | None, disabled: bool
) -> None:
    found = read(**fields)

    assert isinstance(found, Directives)
    assert (fallbacks, disabled) == (found.fallbacks, found.disabled)
    assert set(fields) - {"models"} <= set(found.consumed)


@pytest.mark.parametrize("models", [["theirs"], ["m1", "theirs"], "m1", [1], [], None, [f"m{n}" for n in range(9)]])
def test_models_that_are_not_all_ours_go_to_the_provider(models: object) -> None:
    found = read(models=models)

    assert isinstance(found, Directives)
    assert (None, False) == (found.fallbacks, "models" in found.consumed)


@pytest.mark.parametrize(
    ("fields", "fault", "param"),
    [
        ({"fallbacks": "m1"}, Fault.INVALID_REQUEST, "fallbacks"),
        ({"fallbacks": [1]}, Fault.INVALID_REQUEST, "fallbacks"),
        ({"fallbacks": [f"m{n}" for n in range(FALLBACKS_MAX + 1)]}, Fault.INVALID_REQUEST, "fallbacks"),
        ({"fallbacks": ["m1", "nobody's"]}, Fault.MODEL_NOT_FOUND, "fallbacks"),
        ({"disable_fallbacks": "yes"}, Fault.INVALID_REQUEST, "disable_fallbacks"),
    ],
)
def test_what_cannot_be_done_is_refused(fields: dict[str, object], fault: Fault, param: str) -> None:
    found = read(**fields)

    assert isinstance(found, Refusal)
    assert (fault, param) == (found.fault, found.param)
