"""Upstreams of kind `litellm` for tests: over the real litellm, and over a stand-in for its one function."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from typing import Final

import msgspec

from router.adapters.transport_httptools import transport_to
from router.adapters.upstreams.litellm_bridge import LitellmBridge
from router.adapters.upstreams.litellm_library import Litellm, LitellmLibrary, load_litellm
from router.domain.catalog import Credential, Network, Provider, ProviderKind, Timeouts
from router.domain.ids import ProviderId
from router.domain.secret import Secret
from tests.support.fake_upstream import FakeUpstream, text, word
from tests.support.fakes import FakeClock
from tests.support.upstream_calls import TIMEOUTS

GEMINI_KEY: Final = "AIzaSy-gemini-canary-0123456789"
AWS_SECRET: Final = "aws-secret-canary-0123456789abcdef"
AWS: Final = {
    "aws_access_key_id": "AKIDEXAMPLE",
    "aws_secret_access_key": AWS_SECRET,
    "aws_region_name": "us-east-1",
}


@cache
def _loaded() -> Litellm:
    """What litellm warns of as it is imported is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_litellm()


@cache
def real() -> LitellmLibrary:
    """The real litellm, imported once in this process."""
    loaded = _loaded()
    return LitellmLibrary(lambda: loaded)


@cache
def roundabout() -> LitellmLibrary:
    """The same, and every provider is asked through `acompletion`."""
    loaded = msgspec.structs.replace(_loaded(), direct={})
    return LitellmLibrary(lambda: loaded)


def bridge(
    name: str,
    *,
    library: LitellmLibrary,
    base_url: str = "",
    timeouts: Timeouts = TIMEOUTS,
    params: Mapping[str, str] | None = None,
    key: str | None = GEMINI_KEY,
    network: Network | None = None,
) -> LitellmBridge:
    provider = Provider(
        id=ProviderId("fake"),
        kind=ProviderKind.LITELLM,
        base_url=base_url,
        credentials=(Credential(key=None if key is None else Secret(key)),),
        timeouts=timeouts,
        network=network or Network(allow_private=True),
        litellm_provider=name,
        params=tuple((params or {}).items()),
    )
    return LitellmBridge(provider, library=library, connect=transport_to, clock=FakeClock())


def to_gemini(
    fake: FakeUpstream,
    *,
    timeouts: Timeouts = TIMEOUTS,
    library: Callable[[], LitellmLibrary] | None = None,
    **params: str,
) -> LitellmBridge:
    return bridge(
        "gemini", library=(library or real)(), base_url=f"{fake.url}/v1beta", timeouts=timeouts, params=params
    )


def to_gemini_roundabout(fake: FakeUpstream, **params: str) -> LitellmBridge:
    return to_gemini(fake, library=roundabout, **params)


def to_bedrock(fake: FakeUpstream, **params: str) -> LitellmBridge:
    return bridge("bedrock", library=real(), base_url=fake.url, params={**AWS, **params}, key=None)


class Said:
    """A reply or a chunk, as litellm's own are."""

    def __init__(self, **members: object) -> None:
        self.members = members
        self.usage = members.get("usage")

    def model_dump(self, *, mode: str, exclude_none: bool) -> dict[str, object]:
        assert (mode, exclude_none) == ("json", True)
        return {**self.members}


class Chunks:
    """A stream as litellm's is: it knows what the provider really said."""

    def __init__(self, script: "ScriptedLitellm", *, tokens: int) -> None:
        self.received_finish_reason: str | None = None
        self.chunks: list[Said] = []
        self._run = self._say(script, tokens)

    def __aiter__(self) -> AsyncIterator[Said]:
        return self._run

    async def _say(self, script: "ScriptedLitellm", tokens: int) -> AsyncIterator[Said]:
        for index in range(tokens):
            if script.gap_s and index:
                await asyncio.sleep(script.gap_s)
            yield _chunk(choices=[{"index": 0, "delta": {"content": word(index)}}])
        if script.cut:
            yield _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])  # made up
            yield _chunk(choices=[{"index": 0, "delta": {}}], usage=_usage(1))
            return
        self.received_finish_reason = "stop"
        yield _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if script.counts:
            self.chunks.append(_chunk(usage=_usage(tokens)))
        yield _chunk(choices=[{"index": 0, "delta": {}}], usage=_usage(tokens))


class ScriptedLitellm:
    """Stands in for `acompletion`: 60 words after a delay, with gaps."""

    def __init__(self, *, delay_s: float = 0.0, gap_s: float = 0.0, cut: bool = False, counts: bool = True) -> None:
        self.delay_s = delay_s
        self.gap_s = gap_s
        self.cut = cut
        self.counts = counts
        self.calls: list[dict[str, object]] = []

    async def __call__(self, **arguments: object) -> object:
        self.calls.append(arguments)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if arguments.get("stream"):
            return Chunks(self, tokens=60)
        message = {"role": "assistant", "content": text(60)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return Said(id="a", object="chat.completion", model="m", choices=choices, usage=_usage(60))

    def library(self) -> LitellmLibrary:
        return LitellmLibrary(lambda: Litellm(acompletion=self, supported=lambda _model: None))


def _chunk(**members: object) -> Said:
    return Said(id="a", object="chat.completion.chunk", model="m", **members)


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 2, "completion_tokens": tokens, "total_tokens": 2 + tokens}
