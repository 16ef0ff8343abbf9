"""Who can go on from what is stored: its holder, or the only one whom it can mean."""

import json
from dataclasses import replace

import pytest

from router.domain.catalog import Deployment, Model
from router.domain.dialects.dialect import RESPONSES, Dialect
from router.domain.dialects.request import Request, read_request
from router.domain.faults import Fault, Refusal
from router.domain.ids import DeploymentId, ModelName, ProviderId
from router.domain.planning import stored as module
from router.domain.planning.stored import (
    STORED_TTL_NS,
    Basis,
    Named,
    StoredReplies,
    is_over,
    named_in,
    unknown,
    who_stores,
)
from router.domain.settlement import StoredRecord, StoredReply
from tests.support.fakes import deployment

SPEAKS = frozenset((Dialect.CHAT, Dialect.RESPONSES))
MEMBER = "previous_response_id"


def request(**fields: object) -> Request:
    found = read_request(RESPONSES, json.dumps({"model": "m", "input": "hi", **fields}).encode())
    assert isinstance(found, Request)
    return found


def place(name: str, *, provider: str = "o", credential: str = "", speaks: bool = True) -> Deployment:
    return replace(
        deployment(),
        id=DeploymentId(name),
        provider=ProviderId(provider),
        credential=credential,
        dialects=SPEAKS if speaks else frozenset((Dialect.CHAT,)),
    )


def model(*deployments: Deployment) -> Model:
    return Model(name=ModelName("m"), deployments=deployments)


def kept(name: str = "a", *, provider: str = "o", credential: str = "") -> Basis:
    return Basis(MEMBER, StoredReply("resp_1", DeploymentId(name), ProviderId(provider), credential))


def record(reply_id: str, started_ns: int = 0) -> StoredRecord:
    reply = StoredReply(reply_id, DeploymentId("a"), ProviderId("o"), "")
    return StoredRecord(key_id="ci", started_ns=started_ns, reply=reply)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, None),
        ({"previous_response_id": None, "conversation": None, "background": None}, None),
        ({"previous_response_id": "resp_1"}, Named(MEMBER, "resp_1")),
        ({"conversation": "conv_1"}, Named("conversation", "conv_1")),
        ({"conversation": {"id": "conv_1", "more": 1}}, Named("conversation", "conv_1")),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, Named(MEMBER, "resp_1")),
        ({"previous_response_id": 7, "conversation": []}, None),
        ({"previous_response_id": "", "conversation": {}}, None),
        ({"background": False, "previous_response_id": "r"}, Named(MEMBER, "r")),
    ],
)
def test_a_request_names_what_it_builds_on(fields: dict[str, object], named: Named | None) -> None:
    assert named == named_in(request(**fields))


def test_work_in_the_background_is_refused_by_name() -> None:
    refusal = named_in(request(background=True))

    assert isinstance(refusal, Refusal)
    assert (Fault.UNSUPPORTED_PARAMETER, "background") == (refusal.fault, refusal.param)


def test_what_is_stored_is_asked_of_its_holder_alone() -> None:
    a, b, second = place("a"), place("b"), place("a", credential="second")

    assert [b] == who_stores(kept("b"), model(a, b, second))
    assert [second] == who_stores(kept("a", credential="second"), model(a, b, second))


def test_another_deployment_with_the_same_credential_has_the_same_store() -> None:
    a, b = place("a", credential="first"), place("b", credential="second")

    assert [b] == who_stores(kept("gone", credential="second"), model(a, b))


@pytest.mark.parametrize(
    "basis", [kept(provider="other", name="x"), kept(credential="other"), kept(credential="gone", name="x")]
)
def test_what_is_stored_where_the_model_is_not_is_refused(basis: Basis) -> None:
    refusal = who_stores(basis, model(place("a"), place("b", credential="second")))

    assert isinstance(refusal, Refusal)
    assert (Fault.NOT_FOUND, MEMBER) == (refusal.fault, refusal.param)
    assert refusal != unknown(MEMBER)


def test_a_holder_that_does_not_speak_the_dialect_any_more_is_no_holder() -> None:
    assert isinstance(who_stores(kept(), model(place("a", speaks=False), place("b", credential="2"))), Refusal)


def test_an_unknown_id_goes_on_only_where_it_can_mean_one() -> None:
    a, b, chat = place("a"), place("b"), place("c", speaks=False)
    nobody_s = Basis(MEMBER, None)

    assert [a] == who_stores(nobody_s, model(chat, a))
    assert unknown(MEMBER) == who_stores(nobody_s, model(a, b))
    assert (chat,) == who_stores(nobody_s, model(chat))


def test_the_record_that_was_named_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MAX", 2)
    known = StoredReplies()
    for name in ("r1", "r2"):
        known.remember(record(name))
    known.find("r1")
    known.remember(record("r3"))

    assert (2, None) == (len(known), known.find("r2"))
    assert record("r1") == known.find("r1")


def test_a_record_lasts_for_thirty_days() -> None:
    assert [False, True] == [is_over(record("r", 5), 5 + STORED_TTL_NS + more) for more in (-1, 0)]
