"""An agent of the OpenAI Agents SDK with one tool. `python openai_agents.py http://127.0.0.1:8080`"""

import asyncio
import os
import sys

from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI

url, model = (*sys.argv[1:], "demo")[:2]
set_tracing_disabled(disabled=True)  # traces would go to OpenAI
client = AsyncOpenAI(base_url=f"{url}/v1", api_key=os.environ["CHECKREIN_KEY"])


@function_tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    print("the tool was asked for:", city)
    return "sunny in Oslo"


async def main() -> None:
    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        agent = Agent(
            name="Forecaster", instructions="Be brief.", tools=[weather], model=kind(model, openai_client=client)
        )
        result = await Runner.run(agent, "What is the weather in Oslo?")
        print(f"{kind.__name__}:", result.final_output)
        stream = Runner.run_streamed(agent, "What is the weather in Oslo?")
        kinds = [event.type async for event in stream.stream_events()]
        print(f"{kind.__name__}, streamed:", stream.final_output, "raw_response_event" in kinds)


asyncio.run(main())
