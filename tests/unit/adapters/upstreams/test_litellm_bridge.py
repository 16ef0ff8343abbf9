"""What litellm is told, in whose name, and how long a call waits for it."""

import threading
from dataclasses import replace

import pytest

from router.adapters.upstreams.litellm_bridge import name_for_litellm
from router.adapters.upstreams.litellm_library import Litellm, LitellmLibrary
from router.domain.catalog import Network
from router.domain.dispatch.failure import FailureKind
from router.domain.stream import ReplyMode
from router.ports.upstream import UpstreamFailed, UpstreamRequest
from tests.support.litellm_calls import GEMINI_KEY, ScriptedLitellm, bridge
from tests.support.upstream_calls import MS, ask, drain


async def told(*, base_url: str = "", key: str | None = GEMINI_KEY, **params: str) -> dict[str, object]:
    script = ScriptedLitellm()
    upstream = bridge("gemini", library=script.library(), base_url=base_url, params=params, key=key)
    await drain(await upstream.open(ask(ReplyMode.UNARY, temperature=1)))
    await upstream.close()
    return script.calls[0]


async def test_litellm_is_told_the_callers_members_the_operators_params_and_our_own_rules() -> None:
    arguments = await told(base_url="http://h/v1", api_version="2", num_retries="5", vertex_x="true")

    assert {
        "model": "gemini/m",
        "messages": [{"role": "user", "content": "hello there"}],
        "temperature": 1,
        "api_key": GEMINI_KEY,
        "api_base": "http://h/v1",
        "api_version": "2",
        "vertex_x": True,
        "num_retries": 0,
        "max_retries": 0,
        "caching": False,
        "no-log": True,
        "_skip_mcp_handler": True,
        "timeout": 20.0,
    } == arguments


async def test_without_a_key_or_an_address_litellm_is_told_of_none() -> None:
    assert not {"api_key", "api_base", "drop_params"} & (await told(key=None, drop_params="false")).keys()


async def test_an_address_among_the_params_is_more_exact_than_base_url() -> None:
    assert "http://b" == (await told(base_url="http://a", api_base="http://b"))["api_base"]


@pytest.mark.parametrize(
    ("family", "model", "name"),
    [
        ("gemini", "m", "gemini/m"),
        (None, "azure/m", "azure/m"),
        ("bedrock", "us.m", "bedrock/converse/us.m"),
        ("bedrock", "invoke/us.m", "bedrock/invoke/us.m"),
        ("bedrock", "arn:aws:bedrock:eu:1:profile/x", "bedrock/converse/arn:aws:bedrock:eu:1:profile/x"),
    ],
)
def test_a_model_is_named_with_its_provider(family: str | None, model: str, name: str) -> None:
    assert name == name_for_litellm(family, model)


async def test_a_call_waits_for_the_import_as_long_as_it_may_take_itself() -> None:
    may_end = threading.Event()
    script = ScriptedLitellm()

    def load() -> Litellm:
        assert may_end.wait(10)
        return Litellm(acompletion=script, supported=lambda _model: None)

    upstream = bridge("gemini", library=LitellmLibrary(load))
    with pytest.raises(UpstreamFailed, match="fake did not finish its answer within 20ms") as caught:
        await upstream.open(ask(ReplyMode.UNARY, total_ns=20 * MS))
    assert FailureKind.CONNECT_TIMEOUT is caught.value.failure.kind

    may_end.set()
    await drain(await upstream.open(ask(ReplyMode.UNARY)))
    assert 1 == len(script.calls)
    await upstream.close()


async def test_without_litellm_a_call_fails_before_anything_is_sent() -> None:
    def load() -> Litellm:
        raise ImportError("litellm")

    upstream = bridge("gemini", library=LitellmLibrary(load))
    with pytest.raises(UpstreamFailed, match="fake cannot be asked, as litellm does not load") as caught:
        await upstream.open(ask(ReplyMode.UNARY))

    assert FailureKind.CONNECT is caught.value.failure.kind


async def test_what_a_model_can_express_is_asked_once() -> None:
    asked: list[str] = []

    def supported(model: str) -> list[str]:
        asked.append(model)
        return ["temperature"]

    script = ScriptedLitellm()
    upstream = bridge(
        "gemini", library=LitellmLibrary(lambda: Litellm(acompletion=script, supported=supported)), network=Network()
    )
    for _ in range(2):
        await drain(await upstream.open(ask(ReplyMode.UNARY)))
    await upstream.close()

    assert ["gemini/m"] == asked


@pytest.mark.parametrize(
    ("family", "key", "params", "is_direct"),
    [
        ("gemini", GEMINI_KEY, {}, True),
        (None, GEMINI_KEY, {}, True),
        ("gemini", GEMINI_KEY, {"api_base": "http://h", "drop_params": "true"}, True),
        ("gemini", GEMINI_KEY, {"top_k": "3"}, False),  # what else the operator says is for all of litellm
        ("gemini", None, {}, False),  # it looks for a key elsewhere
        ("bedrock", GEMINI_KEY, {}, False),
    ],
)
async def test_the_shorter_way_is_taken_where_there_is_one_and_nothing_else_to_obey(
    family: str | None, key: str | None, params: dict[str, str], *, is_direct: bool
) -> None:
    direct, whole = ScriptedLitellm(), ScriptedLitellm()
    litellm = Litellm(acompletion=whole, supported=lambda _model: None, direct={"gemini": direct})
    upstream = bridge(family or "", library=LitellmLibrary(lambda: litellm), params=params, key=key)
    request = ask(ReplyMode.UNARY)
    model = "m" if family else "gemini/m"
    deployment = replace(request.deployment, upstream_model=model)
    await drain(await upstream.open(UpstreamRequest(deployment=deployment, body=request.body, mode=request.mode)))
    await upstream.close()

    assert (is_direct, not is_direct) == (bool(direct.calls), bool(whole.calls))
