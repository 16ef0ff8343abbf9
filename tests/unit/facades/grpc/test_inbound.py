"""What a caller says of a call comes from metadata, the message's context and the deadline; the context wins."""

import pytest
from checkrein.v1.common_pb2 import CallContext

from router.domain.faults import Fault, Refusal
from router.domain.instants import NS_PER_MS, NS_PER_S
from router.domain.metadata import Metadata
from router.facades.grpc.inbound import is_local, pairs_of, read_inbound


def read(*pairs: tuple[str, str], context: CallContext | None = None, left_s: float | None = None) -> Metadata:
    metadata = read_inbound(pairs_of(pairs), context, left_s)
    assert isinstance(metadata, Metadata), metadata
    return metadata


def test_metadata_are_headers() -> None:
    assert [(b"x-a", b"1"), (b"x-a", "é".encode()), (b"x-bin", b"\x00\xff")] == pairs_of(
        [("x-a", "1"), ("x-a", "é"), ("x-bin", b"\x00\xff")]
    )
    assert "a1" == read(("x-checkrein-agent", "a1")).labels.agent
    assert "sk-1" == read(("authorization", "Bearer sk-1")).credential == read(("x-api-key", "sk-1")).credential


def test_bytes_that_are_no_text_are_still_headers() -> None:
    assert [(b"x-checkrein-agent", b"\xff")] == pairs_of([("x-checkrein-agent", "\udcff")])
    assert isinstance(read_inbound([(b"x-checkrein-agent", b"\xff")], None, None), Refusal)


def test_every_member_of_the_context_says_what_its_header_does() -> None:
    said = read(
        context=CallContext(
            workflow_id="w1", parent_call_id="c1", agent="a1", user="u1", priority="batch", tags=["b", "a"]
        )
    )

    assert ("w1", "c1", "a1", "b,a") == (
        said.labels.workflow_id, said.labels.parent_call_id, said.labels.agent, said.labels.tags,
    )  # fmt: skip
    assert ("u1", "batch") == (said.user, said.priority)


def test_the_context_wins_over_every_spelling_and_leaves_the_rest() -> None:
    said = read(
        ("x-checkrein-workflow", "m1"),
        ("x-session-id", "m2"),
        ("x-checkrein-agent", "m3"),
        ("x-checkrein-tags", "m4"),
        context=CallContext(workflow_id="w1"),
    )

    assert ("w1", "m3", "m4") == (said.labels.workflow_id, said.labels.agent, said.labels.tags)
    assert "m1" == read(("x-checkrein-workflow", "m1"), context=CallContext()).labels.workflow_id


def test_what_a_label_may_not_be_is_refused_and_names_its_field() -> None:
    tags = read_inbound([], CallContext(tags=["a,b"]), None)
    empty = read_inbound([], CallContext(agent=""), None)

    assert isinstance(tags, Refusal)
    assert isinstance(empty, Refusal)
    assert (Fault.INVALID_REQUEST, "context.tags") == (tags.fault, tags.param)
    assert Fault.INVALID_REQUEST is empty.fault


@pytest.mark.parametrize(
    ("left_s", "timeout_ns"),
    [
        (None, None),
        (10.0, 10 * NS_PER_S - 10 * NS_PER_MS),
        (0.3, 290 * NS_PER_MS),
        (0.02, 10 * NS_PER_MS),
        (0.01, 5 * NS_PER_MS),
        (0.000_001, 500),
        (0.0, 1),
        (-5.0, 1),
        (86_400.0, 86_400 * NS_PER_S - 10 * NS_PER_MS),
        (86_401.0, None),
        (1e12, None),
    ],
)
def test_a_deadline_ends_the_call_a_little_before_and_one_that_is_none_does_not(
    left_s: float | None, timeout_ns: int | None
) -> None:
    assert timeout_ns == read(left_s=left_s).timeout_ns


def test_the_sooner_of_two_timeouts_holds() -> None:
    assert NS_PER_S == read(("x-checkrein-timeout", "1"), left_s=5.0).timeout_ns
    assert 990 * NS_PER_MS == read(("x-checkrein-timeout", "5"), left_s=1.0).timeout_ns
    assert 5 * NS_PER_S == read(("x-checkrein-timeout", "5"), left_s=1e12).timeout_ns


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:5", True),
        ("ipv4:127.9.9.9:5", True),
        ("ipv6:[::1]:5", True),
        ("ipv6:%5B::1%5D:5", True),
        ("ipv6:%5B::ffff:127.0.0.1%5D:5", False),
        ("ipv6:%5Bfe80::1%25eth0%5D:5", False),
        ("ipv4:10.0.0.1:5", False),
        ("ipv6:%5B2001:db8::1%5D:5", False),
        ("unix:/run/router.sock", True),
        ("unix:", True),
        ("vsock:1:2", False),
        ("ipv4:localhost:5", False),
        ("ipv4:", False),
        ("", False),
    ],
)
def test_who_is_on_this_machine_is_told_by_the_address(peer: str, *, local: bool) -> None:
    assert local == is_local(peer)
