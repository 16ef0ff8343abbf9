"""No secret and no content leaves the path of a call over gRPC: not by statuses, details, logs, rows or metrics.

The same provider, keys and words as over HTTP (test_canaries.py).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import product

import grpc
import pytest
import pytest_asyncio
import yaml
from checkrein.v1.chat_service_pb2 import CreateChatCompletionRequest

from tests.e2e.test_canaries import (
    ADMIN_KEY,
    BAD,
    CALLED,
    CONTENT,
    HEADER_SECRET,
    IMAGE,
    KEYS,
    OUTPUT,
    PROMPT,
    PROVIDER_KEY,
    REVOKED_KEY,
    TOOL,
    USER_KEY,
    good,
    hits,
    requests,
)
from tests.support.fake_upstream import FakeUpstream
from tests.support.grpc_calls import Told, chats
from tests.support.process import Served, served
from tests.support.running import config_for, http_client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

METADATA = "canary-metadata-of-nobody-here-3310"
BINARY = b"canary-binary-metadata-\xff\x00-7781"
SAID = (("x-of-mine", METADATA), ("x-of-mine-bin", BINARY), ("cookie", METADATA), ("user-agent-of", METADATA))
METHOD = "/checkrein.v1.ChatService/CreateChatCompletion"


@dataclass(slots=True)
class Evidence:
    """All that came out of a router that was treated badly at level DEBUG."""

    told: list[tuple[str, Told]] = field(default_factory=list)
    metrics: str = ""
    calls: str = ""
    out: str = ""
    err: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def evidence(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Evidence]:
    folder = tmp_path_factory.mktemp("canaries")
    async with FakeUpstream(handler=good) as upstream:
        config = config_for(
            upstream,
            logging={"level": "debug"},
            keys=[
                {"name": "user", "key": USER_KEY, "models": ["small"]},
                {"name": "revoked", "key": REVOKED_KEY, "models": ["*"], "revoked": True},
                {"name": "admin", "key": ADMIN_KEY, "permissions": ["admin"]},
            ],
        )
        providers = config["providers"]
        assert isinstance(providers, list)
        providers[0] |= {"api_key": PROVIDER_KEY}
        providers[0]["network"] |= {"headers": {"x-auth-token": HEADER_SECRET}}
        file = folder / "checkrein.yaml"
        file.write_text(yaml.safe_dump(config | {"store": {"url": "sqlite:///./ledger.db"}}))
        found = Evidence()
        async with served(folder, "--config", str(file)) as router:
            await mistreat(router, upstream, found)
        found.out, found.err = router.out, router.err
        found.files = {path.name: path.read_bytes() for path in sorted(folder.glob("ledger.db*"))}
    yield found


async def mistreat(router: Served, upstream: FakeUpstream, found: Evidence) -> None:
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with http_client(router.url) as client, chats(router.grpc_port, None) as caller:
        for (name, key, body), typed in product(requests(), (False, True)):
            # What the provider said the last time must not keep this one from it.
            await client.post("/admin/v1/breakers/reset", json={"target": "fake/fake-model"}, headers=admin)
            if name in BAD:
                upstream.script(BAD[name])
            make = caller.stream if body["stream"] else caller.create
            members = {member: value for member, value in body.items() if member != "stream"}
            found.told.append((name, await make(members, ("authorization", f"Bearer {key}"), *SAID, typed=typed)))  # type: ignore[arg-type]  # metadata may be bytes
        words = PROMPT.encode()
        for content in (b"{" + words, b'{"model":["' + words + b'"],"messages":[]}', b"\xff" + words, words):
            told = await caller.create(content, ("x-api-key", USER_KEY), *SAID)  # type: ignore[arg-type]  # as above
            found.told.append(("malformed", told))
        found.told += [("malformed", told) for told in await raw_calls(router.grpc_port)]
        for _, told in found.told:
            if "x-checkrein-call" in told.trailers:
                found.calls += (await client.get(f"/checkrein/v1/calls/{told.call_id}", headers=admin)).text
        found.metrics = (await client.get(f"{router.ops_url}/metrics")).text


async def raw_calls(port: int) -> list[Told]:
    """Call with what is no message, no method, no key, and with a label that is none."""
    asks = CreateChatCompletionRequest(chat_json=PROMPT.encode())
    key = ("authorization", f"Bearer {USER_KEY}")
    heard = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method, raw, metadata in (
            (METHOD, b"\xff" + PROMPT.encode(), (key, *SAID)),
            (METHOD, asks.SerializeToString(), (("authorization", f"Bearer {USER_KEY} {PROMPT}"),)),
            (METHOD, asks.SerializeToString(), (key, ("x-checkrein-agent", PROMPT * 20))),
            (METHOD, asks.SerializeToString(), (key, ("x-checkrein-timeout", PROMPT))),
            (f"/{PROMPT}/{USER_KEY}", asks.SerializeToString(), (key,)),
        ):
            told = Told()
            call = channel.unary_unary(method)(raw, metadata=metadata, timeout=10)
            told.end(await call.code(), await call.details(), await call.trailing_metadata())
            assert told.code != "OK"
            heard.append(told)
    return heard


def all_of(told: Told) -> str:
    """Everything that a caller is told beside the reply itself."""
    return repr((told.code, told.message, told.info, told.details, told.trailers, told.served))


async def test_no_key_is_in_anything_that_a_caller_is_told(evidence: Evidence) -> None:
    """T11a: whatever the provider repeats: status, message, details, trailers, chunks and replies are clean."""
    assert 100 < len(evidence.told)
    for name, told in evidence.told:
        assert [] == hits(all_of(told), KEYS), name
        assert [] == hits(b"".join(told.bodies), KEYS), name


async def test_the_content_did_reach_its_caller(evidence: Evidence) -> None:
    """T11a: the canaries were alive: the caller got its output, and the words of a provider's 400."""
    served_ = [told for name, told in evidence.told if name == "good"]
    refused = [told for name, told in evidence.told if name == "status 400"]

    assert {"OK"} == {told.code for told in served_}
    for told in served_:
        assert [OUTPUT, CALLED] == hits(b"".join(told.bodies), CONTENT)
    assert 4 == len(refused)
    for told in refused:
        assert "[redacted]" in told.message
        assert {PROMPT, TOOL, IMAGE} >= set(hits(told.message, CONTENT))
        assert hits(told.message, CONTENT)


async def test_no_failure_looked_like_a_success(evidence: Evidence) -> None:
    """T11a: all of this was really refused or broken, so the paths that could leak were walked."""
    for name, told in evidence.told:
        assert (name == "good") == (told.code == "OK"), (name, told)


async def test_content_is_told_only_where_the_provider_said_it(evidence: Evidence) -> None:
    """A message of ours never quotes what was asked."""
    ours = {"malformed", "unknown", "revoked", "no such model", "foreign fields", "good"}
    for name, told in evidence.told:
        if name in ours:
            assert [] == hits(all_of(told), CONTENT), name
        assert [] == hits(all_of(told), (METADATA, BINARY[:20].decode())), name


async def test_nothing_of_it_is_in_the_logs(evidence: Evidence) -> None:
    """T32: at level DEBUG, calls and rejections included."""
    assert "call_settled" in evidence.out
    assert "serving gRPC" in evidence.err
    for text in (evidence.out, evidence.err):
        assert [] == hits(text, (*KEYS, *CONTENT, METADATA, BINARY[:20].decode()))


async def test_nothing_of_it_is_in_the_ledger(evidence: Evidence) -> None:
    """T32: not a byte of them in its files, nor in what administrators see of its calls."""
    assert b"fake-model" in b"".join(evidence.files.values())
    for name, data in evidence.files.items():
        assert [] == hits(data, (*KEYS, *CONTENT, METADATA, BINARY[:20].decode())), name
    assert '"upstream_status":529' in evidence.calls
    assert [] == hits(evidence.calls, (*KEYS, *CONTENT, METADATA))


async def test_nothing_of_it_is_in_the_metrics(evidence: Evidence) -> None:
    """T32: labels are closed sets."""
    assert "checkrein_calls_total" in evidence.metrics
    assert [] == hits(evidence.metrics, (*KEYS, *CONTENT, METADATA))
