"""How a forwarded request begins: what its head says, what its call says beside it, and what is none of either."""

import pytest
from checkrein.v1.passthrough_pb2 import ForwardRequest, Header

from router.domain.faults import Fault, RouterError
from router.facades.grpc.forward_head import is_forwarded, length_of, named, read_head, scope_of, size_of
from router.facades.grpc.inbound import Pairs
from router.facades.http.app import build_app
from router.facades.http.voice import BY_PATH
from router.lifecycle import Phase
from tests.support.asides import FedAsides
from tests.support.pipeline import Rig

META: Pairs = [(b"authorization", b"Bearer k"), (b"user-agent", b"grpc"), (b"x-checkrein-agent", b"meta")]


def head(target: str = "/v1/messages", method: str = "POST", **headers: bytes) -> ForwardRequest.Head:
    said = [Header(name=name.replace("_", "-"), value=value) for name, value in headers.items()]
    return ForwardRequest.Head(method=method, target=target, headers=said)


def refused(one: ForwardRequest.Head) -> str | None:
    with pytest.raises(RouterError) as caught:
        read_head(one, META, None)
    assert Fault.INVALID_REQUEST is caught.value.refusal.fault
    return caught.value.refusal.param


def test_what_the_metadata_say_comes_beside_the_headers() -> None:
    assert [(b"content-type", b"a"), META[0], META[2]] == read_head(head(content_type=b" a\t"), META, None)


@pytest.mark.parametrize("name", ["x_checkrein_agent", "x_litellm_agent_id"])
def test_the_head_wins_where_both_say_the_same_in_whatever_words(name: str) -> None:
    headers = read_head(head(**{name: b"head"}), META, None)

    assert [(name.replace("_", "-").encode(), b"head"), META[0]] == headers


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_a_credential_is_the_calls_alone(name: str) -> None:
    assert "head.headers" == refused(head(**{name: b"Bearer k"}))


@pytest.mark.parametrize(
    "one",
    [
        head(**{"": b"a"}),
        head(Upper=b"a"),
        head(**{"a b": b"a"}),
        head(ä=b"a"),
        head(a=b"b\rc"),
        head(a=b"b\nc"),
        head(a=b"b\0c"),
    ],
)
def test_a_header_is_one_line_with_a_name(one: ForwardRequest.Head) -> None:
    assert "head.headers" == refused(one)
    assert (b"a", b"\xff\x01") in read_head(head(a=b"\xff\x01"), META, None)


@pytest.mark.parametrize("target", ["", "v1", "http://h/v1", "/a b", "/ä", "/a\n"])
def test_a_target_is_a_path(target: str) -> None:
    assert "head.target" == refused(head(target))


def test_there_is_a_method() -> None:
    assert "head.method" == refused(head(method=""))


@pytest.mark.parametrize(
    ("left_s", "said", "timeout"),
    [
        (None, None, None),
        (2.0, None, b"1.990000000"),
        (2.0, b"1.5", b"1.500000000"),
        (0.000001, None, b"0.000000500"),
        (None, b"7", b"7"),
        (1e9, None, None),
        (2.0, b"soon", b"soon"),
    ],
)
def test_a_deadline_is_said_as_http_says_it(left_s: float | None, said: bytes | None, timeout: bytes | None) -> None:
    headers = {} if said is None else {"x_request_timeout": said}
    found = [value for name, value in read_head(head(**headers), META, left_s) if name.endswith(b"timeout")]

    assert ([] if timeout is None else [timeout]) == found


def test_the_length_is_one_number() -> None:
    assert (None, 12) == (length_of([]), length_of([(b"content-length", b"12"), (b"content-length", b"12")]))
    for values in ([b"1", b"2"], [b"-1"], [b""], [b"9" * 30]):
        with pytest.raises(RouterError):
            length_of([(b"content-length", value) for value in values])


def test_a_request_says_the_id_that_it_is_known_by() -> None:
    assert [(b"a", b"b"), (b"x-request-id", b"r")] == named([(b"x-request-id", b"\xff"), (b"a", b"b")], "r")


def test_names_values_and_the_target_count() -> None:
    assert len("/v1/messages") + 2 + 3 == size_of(head(ab=b"cde"))


def test_a_scope_is_what_a_server_would_make_of_it() -> None:
    scope = scope_of(head("/v1/models/a%2Fb?c=d?e", method="GET"), META, local=False)

    assert ("GET", "/v1/models/a/b", b"/v1/models/a%2Fb", b"c=d?e") == (
        scope["method"],
        scope["path"],
        scope["raw_path"],
        scope["query_string"],
    )
    assert (META, ("-", 0)) == (scope["headers"], scope["client"])
    assert None is scope_of(head(), META, local=True)["client"]


def test_what_is_forwarded_is_inference_and_nothing_else() -> None:
    app = build_app(pipeline=Rig().pipeline, health=Phase(), asides=FedAsides())
    paths = {
        path: {tag for way in ways.values() for tag in way["tags"]} for path, ways in app.openapi()["paths"].items()
    }
    inference = {path for path, tags in paths.items() if tags & {"inference", "models"}}

    assert inference == {path for path in paths if is_forwarded(path)}
    assert all(is_forwarded(path.removeprefix("/v1")) for path in inference)
    assert all(map(is_forwarded, BY_PATH))
    for path in ("/admin/v1/keys", "/v1", "/", "/v12", "/models2", "/checkrein/v1/route/explain"):
        assert "/" == scope_of(head(path), META, local=True)["path"]
