"""OpenAI's SDK with its own check of every reply and event: nothing that its types ask for is missing anywhere."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import httpx
import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.clients.examples import MODELS
from tests.support.running import KEY, RunningRouter

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SCHEMA: Final = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
FUNCTION: Final = {"name": "weather", "parameters": SCHEMA, "strict": True}
TURNS: Final[Sequence[Mapping[str, str]]] = [{"role": "user", "content": "What is the weather?"}]
CHAT_TOOL: Final = {"type": "function", "function": FUNCTION}
TOOL: Final = {"type": "function", **FUNCTION}
SAYABLE: Final[Mapping[str, object]] = {
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "s",
    "store": True,
    "temperature": 0.5,
    "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}},
    "top_p": 0.9,
    "user": "u",
}
"""What callers set, as agents' libraries do, and every dialect can say or does without."""

everywhere = pytest.mark.parametrize("model", list(MODELS))
Client = Any
"""The SDK's overloads ask for its own dictionaries; what is sent here is JSON as people write it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(router: RunningRouter) -> AsyncIterator[Client]:
    async with (
        httpx.AsyncClient(trust_env=False, verify=False) as http,
        AsyncOpenAI(
            base_url=f"{router.url}/v1", api_key=KEY, max_retries=0, http_client=http, _strict_response_validation=True
        ) as strict,
    ):
        yield strict


@everywhere
async def test_a_chat(client: Client, model: str) -> None:
    whole = await client.chat.completions.create(model=model, messages=TURNS)
    stream = await client.chat.completions.create(
        model=model, messages=TURNS, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert whole.choices[0].message.content == said
    assert whole.usage.completion_tokens == chunks[-1].usage.completion_tokens == 12


@everywhere
async def test_a_chat_with_a_tool(client: Client, model: str) -> None:
    whole = await client.chat.completions.create(model=model, messages=TURNS, tools=[CHAT_TOOL])
    async with client.chat.completions.stream(model=model, messages=TURNS, tools=[CHAT_TOOL]) as stream:
        streamed = await stream.get_final_completion()

    assert "tool_calls" == whole.choices[0].finish_reason == streamed.choices[0].finish_reason
    (call,) = streamed.choices[0].message.tool_calls
    assert ("weather", {}) == (call.function.name, call.function.parsed_arguments)


@everywhere
@pytest.mark.parametrize("more", [{}, SAYABLE, {"tools": [TOOL], "tool_choice": "required"}, {"max_output_tokens": 3}])
async def test_a_response(client: Client, model: str, more: Mapping[str, object]) -> None:
    whole = await client.responses.create(model=model, input=TURNS, **more)
    events = [event async for event in await client.responses.create(model=model, input=TURNS, stream=True, **more)]
    last = events[-1].response

    assert list(range(len(events))) == [event.sequence_number for event in events]
    assert whole.status == last.status == ("incomplete" if "max_output_tokens" in more else "completed")
    assert [item.type for item in whole.output] == [item.type for item in last.output]
    assert whole.output_text == last.output_text
    assert whole.usage == last.usage


@everywhere
async def test_a_response_put_together_from_its_events(client: Client, model: str) -> None:
    async with client.responses.stream(model=model, input=TURNS, tools=[TOOL]) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()

    assert "response.function_call_arguments.done" in kinds
    assert ["weather"] == [item.name for item in final.output]


class Forecast(BaseModel):
    city: str
    degrees: int


@everywhere
async def test_a_reply_that_fits_a_schema(client: Client, model: str) -> None:
    chat = await client.chat.completions.parse(model=model, messages=TURNS, response_format=Forecast)
    response = await client.responses.parse(model=model, input=TURNS, text_format=Forecast)

    assert Forecast(city="What is the weather?", degrees=1) == chat.choices[0].message.parsed == response.output_parsed


async def test_what_the_dialect_cannot_say_is_left_out_for_whom_asks(client: Client) -> None:
    asked = {"model": "through-messages", "messages": TURNS, "verbosity": "low", "n": 2}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**asked)
    reply = await client.chat.completions.create(**asked, extra_body={"drop_params": True})

    assert "unsupported_parameter" == caught.value.code
    assert 1 == len(reply.choices)


async def test_embeddings_models_and_texts(client: Client) -> None:
    vectors = await client.embeddings.create(model="demo", input=[[1, 2], [3]], dimensions=100, encoding_format="float")
    texts = await client.completions.create(model="demo", prompt=["a", "b"], n=2)
    models = await client.models.list()

    assert [100, 100] == [len(one.embedding) for one in vectors.data]
    assert [0, 1, 2, 3] == [choice.index for choice in texts.choices]
    assert sorted([*MODELS, *(f"cut-{name}" for name in MODELS)]) == [model.id for model in models.data]
    assert "demo" == (await client.models.retrieve("demo")).id


@pytest.mark.parametrize(
    ("ask", "error", "code"),
    [
        (lambda client: client.responses.create(model="none", input="hi"), openai.NotFoundError, "model_not_found"),
        (lambda client: client.responses.create(model="demo", input=3), openai.BadRequestError, None),
        (lambda client: client.embeddings.create(model="demo", input=[]), openai.BadRequestError, None),
        (
            lambda client: client.with_options(api_key="sk-nobody").responses.create(model="demo", input="hi"),
            openai.AuthenticationError,
            "invalid_api_key",
        ),
        (
            lambda client: client.completions.create(model="through-chat", prompt="hi"),
            openai.BadRequestError,
            "capability_missing",
        ),
    ],
)
async def test_an_error_is_raised_as_what_it_is(client: Client, ask: Any, error: type[Exception], code: str) -> None:
    with pytest.raises(error) as caught:
        await ask(client)

    assert code == caught.value.code  # type: ignore[attr-defined]  # each of them has one


@everywhere
@pytest.mark.parametrize("route", ["chat", "responses"])
async def test_a_stream_that_breaks_is_raised(client: Client, model: str, route: str) -> None:
    asked = {"model": f"cut-{model}", "stream": True}
    if route == "chat":
        stream = await client.chat.completions.create(messages=TURNS, **asked)
    else:
        stream = await client.responses.create(input="hi", **asked)
    await anext(stream)

    with pytest.raises(openai.APIError, match="ended before it was complete"):
        await drained(stream)


async def drained(stream: AsyncIterator[object]) -> None:
    async for _ in stream:
        pass
