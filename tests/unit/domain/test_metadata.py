"""What is read from headers, in whichever gateway's spelling."""

import pytest

from router.domain.faults import Fault, Refusal
from router.domain.metadata import SPELLINGS, Metadata, read_metadata
from router.domain.settlement import Labels


def read(*pairs: tuple[bytes, bytes]) -> Metadata:
    metadata = read_metadata(pairs)
    assert isinstance(metadata, Metadata), metadata
    return metadata


def label(metadata: Metadata, idea: str) -> object:
    return {
        "workflow": metadata.labels.workflow_id,
        "parent-call": metadata.labels.parent_call_id,
        "agent": metadata.labels.agent,
        "tags": metadata.labels.tags,
        "user": metadata.user,
        "priority": metadata.priority,
        "timeout": metadata.timeout_ns,
        "retries": str(metadata.retries),
        "request-id": metadata.request_id,
        "traceparent": metadata.traceparent,
        "credential": metadata.credential,
        "forwarded": metadata.forwarded,
    }[idea]


@pytest.mark.parametrize(("idea", "name"), [(idea, name) for idea, names in SPELLINGS.items() for name in names])
def test_every_spelling_is_understood(idea: str, name: bytes) -> None:
    expected: object = {"timeout": 7_000_000_000, "forwarded": True}.get(idea, "7")

    assert expected == label(read((name, b"7")), idea)


@pytest.mark.parametrize(("idea", "names"), [(idea, names) for idea, names in SPELLINGS.items() if len(names) > 1])
def test_the_better_spelling_wins_in_either_order(idea: str, names: tuple[bytes, ...]) -> None:
    pairs = [(names[1], b"8"), (names[0], b"9")]

    assert label(read(*pairs), idea) == label(read(*reversed(pairs)), idea) == label(read((names[0], b"9")), idea)


@pytest.mark.parametrize("value", [b"Bearer sk-1", b"bearer sk-1", b"BEARER   sk-1 ", b"sk-1"])
def test_a_bearer_token_is_taken_bare(value: bytes) -> None:
    assert "sk-1" == read((b"authorization", value)).credential


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"caf\xc3\xa9", b"a\x01b"])
def test_a_label_that_could_not_be_kept_whole_is_refused(value: bytes) -> None:
    refusal = read_metadata([(b"x-checkrein-agent", value)])

    assert isinstance(refusal, Refusal)
    assert (Fault.INVALID_REQUEST, "x-checkrein-agent") == (refusal.fault, refusal.param)


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"\xff"])
def test_an_unusable_request_id_is_replaced_not_refused(value: bytes) -> None:
    assert read((b"x-request-id", value)).request_id is None


@pytest.mark.parametrize("value", [b"soon", b"-1", b"0", b"nan", b"inf", b"1e309", b"86401"])
def test_a_timeout_that_is_no_sensible_time_is_refused(value: bytes) -> None:
    assert isinstance(read_metadata([(b"x-checkrein-timeout", value)]), Refusal)


def test_a_timeout_may_be_a_fraction_of_a_second() -> None:
    assert 250_000_000 == read((b"x-checkrein-timeout", b"0.25")).timeout_ns


def test_unknown_headers_say_nothing() -> None:
    assert Metadata(labels=Labels()) == read((b"cookie", b"a=b"), (b"x-whatever", b"1"))
